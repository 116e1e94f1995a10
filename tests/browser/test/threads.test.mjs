import { beforeEach, describe, test } from "node:test";
import { useExample, usePage } from "../support/harness.mjs";

describe("the example", () => follow(useExample));
describe("the page", () => follow(usePage));

function follow(use) {
  const started = use();

  let tab;
  beforeEach(async () => {
    tab = await started.profile.openTab();
  });

  /** A new thread with one exchange, listed: the rows stay where they are from now on. */
  async function chat(words) {
    await tab.press("New chat");
    await tab.shows([]);
    await tab.say(words);
    await tab.shows([["user", words], ["assistant", `You said: ${words}`]]);
    await tab.listed(words);
  }

  test("a new thread is listed while its first run goes on, named after its first message", async () => {
    await tab.lists([]);
    await tab.say("Please wait for the tide");
    await tab.lists(["Please wait for the tide"]);
    await tab.marks("Please wait for the tide");
    started.agents.release(tab.threadId);
    await tab.shows([["user", "Please wait for the tide"], ["assistant", "You said: Please wait for the tide"]]);
    await tab.say("And now?");
    await tab.shows([
      ["user", "Please wait for the tide"],
      ["assistant", "You said: Please wait for the tide"],
      ["user", "And now?"],
      ["assistant", "You said: And now?"],
    ]);
    await tab.lists(["Please wait for the tide"]);
  });

  test("every thread keeps its own history, and the list has the newest first", async () => {
    await chat("Sea");
    await chat("Land");
    await tab.lists(["Land", "Sea"]);

    await tab.open("Sea");
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);
    await tab.marks("Sea");
    await tab.open("Land");
    await tab.shows([["user", "Land"], ["assistant", "You said: Land"]]);
    await tab.page.goBack();
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);

    await tab.say("More sea");
    await tab.lists(["Sea", "Land"]);
  });

  test("a thread is renamed", async () => {
    await chat("Sea");
    await chat("Land");
    await tab.rename("Sea", "Ocean");
    await tab.lists(["Land", "Ocean"]);
    await tab.reload();
    await tab.lists(["Land", "Ocean"]);
  });

  test("a thread is archived and comes back", async () => {
    await chat("Sea");
    await chat("Land");
    await tab.act("Sea", "Archive");
    await tab.lists(["Land"]);
    await tab.reload();
    await tab.lists(["Land"]);

    await tab.tick("Show archived", true);
    await tab.lists(["Land", "Sea"]);
    await tab.act("Sea", "Unarchive");
    await tab.tick("Show archived", false);
    await tab.lists(["Land", "Sea"]);
    await tab.open("Sea");
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);
  });

  test("a thread is deleted, and nothing of it is left", async () => {
    await chat("Sea");
    await chat("Land");
    const address = tab.address;
    await tab.act("Land", "Delete");
    await tab.lists(["Sea"]);
    await tab.shows([]);

    const other = await started.profile.openTab(address);
    await other.lists(["Sea"]);
    await other.shows([]);
  });

  test("another tab shows the change as soon as it is looked at", async () => {
    await chat("Sea");
    const other = await started.profile.openTab();
    await other.lists(["Sea"]);
    await tab.rename("Sea", "Ocean");
    await tab.lists(["Ocean"]);
    await other.page.evaluate(() => window.dispatchEvent(new Event("focus")));
    await other.lists(["Ocean"]);
  });
}
