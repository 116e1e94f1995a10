import { describe, test } from "node:test";
import { useExample, usePage } from "../support/harness.mjs";

describe("the example", () => follow(useExample));
describe("the page", () => follow(usePage));

function follow(use) {
  const started = use();

  test("a message gets its answer", async () => {
    const tab = await started.profile.openTab();
    await tab.shows([]);
    await tab.say("Hello");
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
  });

  test("a reload shows the history, nothing twice", async () => {
    const history = [["user", "One"], ["assistant", "You said: One"], ["user", "Two"], ["assistant", "You said: Two"]];
    const tab = await started.profile.openTab();
    await tab.say("One");
    await tab.shows(history.slice(0, 2));
    await tab.say("Two");
    await tab.shows(history);

    await tab.reload();
    await tab.shows(history);
    await tab.say("Three");
    await tab.shows([...history, ["user", "Three"], ["assistant", "You said: Three"]]);
    await tab.reload();
    await tab.shows([...history, ["user", "Three"], ["assistant", "You said: Three"]]);
  });

  test("a second tab follows a run live", async () => {
    const half = [["user", "Please wait"], ["assistant", "You said:"]];
    const whole = [["user", "Please wait"], ["assistant", "You said: Please wait"]];
    const first = await started.profile.openTab();
    await first.say("Please wait");
    await first.shows(half);

    const second = await started.profile.openTab(first.address);
    await second.shows(half);
    started.agents.release(first.threadId);
    await first.shows(whole);
    await second.shows(whole);

    await second.say("Thank you");
    await second.shows([...whole, ["user", "Thank you"], ["assistant", "You said: Thank you"]]);
  });

  test("a page that is reloaded in the middle of a run goes on with it", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Please wait");
    await tab.shows([["user", "Please wait"], ["assistant", "You said:"]]);
    await tab.reload();
    await tab.shows([["user", "Please wait"], ["assistant", "You said:"]]);
    started.agents.release(tab.threadId);
    await tab.shows([["user", "Please wait"], ["assistant", "You said: Please wait"]]);
  });
}
