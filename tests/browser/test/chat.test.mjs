import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../../client/support/wait.mjs";
import { useExample, usePage } from "../support/harness.mjs";

describe("the example", () => follow(useExample));
describe("the page", () => follow(usePage));
describe("the example with an agent that fails", () => fail(useExample));
describe("the page with an agent that fails", () => fail(usePage));

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

  test("a run is stopped, and what it said stays", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Please wait");
    await tab.shows([["user", "Please wait"], ["assistant", "You said:"]]);
    const run = await started.agents.arrived("patient", tab.threadId);
    await tab.stop();
    await until(() => run.aborted, "the agent to be stopped");
    await tab.say("Thank you");
    const whole = [["user", "Please wait"], ["assistant", "You said:"], ["user", "Thank you"], ["assistant", "You said: Thank you"]];
    await tab.shows(whole);
    await tab.reload();
    await tab.shows(whole);
  });

  test("a chat fits a phone", async () => {
    const tab = await started.profile.openTab();
    const words = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk";
    await tab.say(words);
    await tab.shows([["user", words], ["assistant", `You said: ${words}`]]);
    await tab.listed(words);
    await tab.page.setViewportSize({ width: 390, height: 844 });
    const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${width} pixels wide`);
  });
}

function fail(use) {
  const started = use("fails");

  test("a run that fails says why, until the next one begins", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Go");
    await tab.warns("The model is out of words");
    await tab.say("Go on, please");
    await tab.holds("Fine now.");
    assert.equal(await tab.page.getByRole("alert").count(), 0);
    started.profile.forgive(/out of words/);
  });
}
