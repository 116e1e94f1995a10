import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../../client/support/wait.mjs";
import { openProfile } from "../support/browser.mjs";
import { proxyBelow } from "../support/proxy.mjs";
import { useDemoPage, usePage, usePageWithUsers } from "../support/harness.mjs";

describe("the page and its agents", () => {
  const started = usePage();

  test("a first visit shows the agents and greets", async () => {
    const tab = await started.profile.openTab();
    const agents = tab.page.getByRole("navigation", { name: "Agents" });
    await agents.getByRole("button", { name: "fails", exact: false }).waitFor();
    assert.equal(await agents.getByRole("button").count(), 5);
    assert.match(await agents.locator("[aria-current]").innerText(), /^default/);
    await tab.page.getByRole("heading", { name: "Talk to default" }).waitFor();
    await tab.shows([]);
    await tab.lists([]);
    assert.equal(await tab.page.title(), "default · CopilotKit runtime");
  });

  test("another agent has threads of its own, and stands in the address", async () => {
    const tab = await started.profile.openTab();
    await tab.say("To the first");
    await tab.lists(["To the first"]);
    await tab.choose("text");
    await tab.shows([]);
    await tab.lists([]);
    await tab.say("To the second");
    await tab.shows([["user", "To the second"], ["assistant", "You said: To the second"]]);
    await tab.lists(["To the second"]);
    const other = await started.profile.openTab(tab.address);
    await other.shows([["user", "To the second"], ["assistant", "You said: To the second"]]);
    await tab.choose("default");
    await tab.lists(["To the first"]);
  });

  test("an address with an agent that is not there says so", async () => {
    const tab = await started.profile.openTab(`${started.site.url}#agent=nobody`, { refused: true });
    await tab.warns("There is no agent “nobody”");
    await tab.choose("text");
    await tab.say("Hello");
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
  });

  test("why a run failed is still there after a reload", async () => {
    const tab = await started.profile.openTab();
    await tab.choose("fails");
    await tab.say("Go");
    await tab.warns("MODEL_ERROR");
    await tab.reload();
    await tab.warns("The model is out of words");
    started.profile.forgive(/out of words/);
  });

  test("a runtime that has gone is missed", async () => {
    const tab = await started.profile.openTab();
    await tab.page.route("**/api/copilotkit/**", (route) => route.abort());
    await tab.say("Is anybody there?");
    await tab.page.getByRole("main").getByRole("alert").waitFor();
    await tab.page.unroute("**/api/copilotkit/**");
    started.profile.forgive(/Failed to fetch|ERR_FAILED/);
  });

  test("threads are found by what was said on them", async () => {
    const tab = await started.profile.openTab();
    for (const words of ["The sea is wide", "The land is dry"]) {
      await tab.press("New chat");
      await tab.say(words);
      await tab.listed(words);
    }
    const search = tab.threads.getByRole("searchbox");
    await search.fill("wid");
    await tab.lists(["The sea is wide"]);
    await tab.rename("The sea is wide", "Ocean");
    await tab.lists(["Ocean"]);
    await tab.act("Ocean", "Archive");
    await tab.lists([]);
    await tab.tick("Show archived", true);
    await tab.lists(["Ocean"]);
    await tab.act("Ocean", "Delete");
    await tab.threads.getByText("Nothing with “wid”").waitFor();
    await search.fill("");
    await tab.lists(["The land is dry"]);
  });

  test("a list that was on its way does not undo a change", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Sea");
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);
    await tab.lists(["Sea"]);
    let release;
    const renamed = new Promise((resolve) => {
      release = resolve;
    });
    const held = new Promise((resolve, reject) => {
      const hold = async (route) => {
        const answer = await route.fetch();
        resolve(route.request());
        await renamed;
        // The page may have given it up meanwhile.
        await route.fulfill({ response: answer }).catch(() => {});
      };
      tab.page.route("**/threads?*limit=50", hold, { times: 1 }).catch(reject);
    });
    await tab.page.evaluate(() => window.dispatchEvent(new Event("focus")));
    const request = await held;
    await tab.rename("Sea", "Ocean");
    release();
    await request.response();
    await tab.lists(["Ocean"]);
  });

  test("state and events can be looked into, and follow the runs", async () => {
    const tab = await started.profile.openTab();
    await tab.choose("state");
    await tab.page.getByRole("button", { name: "State and events" }).click();
    const panel = tab.page.getByRole("complementary", { name: "State and events" });
    await panel.getByText("The agent shares no state").waitFor();
    await tab.say("Count");
    await panel.getByText('"count": 1').waitFor();
    await panel.getByRole("button", { name: "Events" }).click();
    await panel.getByText("RUN_FINISHED").waitFor();
    await panel.getByText("STATE_SNAPSHOT").click();
    await panel.getByText('"ratio": 0.5').waitFor();
    await tab.say("Again");
    await until(async () => (await panel.getByText("RUN_FINISHED").count()) === 2, "the events of the second run");
    await panel.getByRole("button", { name: "Close" }).click();
    await panel.waitFor({ state: "detached" });
  });

  test("an interrupt without a schema takes words", async () => {
    const tab = await started.profile.openTab();
    await tab.choose("interrupt");
    await tab.say("Send it");
    await tab.page.getByText("Send the mail?").waitFor();
    await tab.page.getByRole("textbox", { name: "Answer" }).fill("tomorrow");
    await tab.page.getByRole("button", { name: "Answer", exact: true }).click();
    await tab.holds('Resumed ask-1: resolved "tomorrow"');
  });

  test("a keyboard is enough", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Sea");
    await tab.listed("Sea");
    await tab.press("New chat");
    await tab.shows([]);
    const { keyboard } = tab.page;
    await tab.threads.getByRole("searchbox").focus();
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    await keyboard.type("Ocean");
    await keyboard.press("Enter");
    await tab.lists(["Ocean"]);
    await tab.page.getByRole("button", { name: "State and events" }).press("Enter");
    const panel = tab.page.getByRole("complementary", { name: "State and events" });
    await panel.waitFor();
    await keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    assert.equal(await tab.page.evaluate(() => document.activeElement.textContent), "State and events");
  });

  test("dark or light is the system's, until somebody chooses", async () => {
    const tab = await started.profile.openTab();
    const ground = () => tab.page.evaluate(() => document.documentElement.classList.contains("dark"));
    await tab.page.emulateMedia({ colorScheme: "dark" });
    await until(ground, "the dark theme");
    await tab.page.getByRole("radio", { name: "light" }).check({ force: true });
    await until(async () => !(await ground()), "the light theme");
    await tab.reload();
    assert.equal(await ground(), false);
  });
});

describe("the page behind a proxy", () => {
  const started = usePage();

  test("works below a path of its own", async () => {
    const proxy = await proxyBelow("/below/", started.runtime.url);
    const profile = await openProfile(started.browser, proxy.url);
    const tab = await profile.openTab();
    await tab.say("Hello");
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
    await tab.lists(["Hello"]);
    await profile.close();
    await proxy.close();
    assert.deepEqual(profile.problems, []);
  });
});

describe("the page on a phone", () => {
  const started = usePage();

  test("the agents and threads come over the chat, and make way for it", async () => {
    const tab = await started.profile.openTab();
    await tab.page.setViewportSize({ width: 390, height: 844 });
    const menu = tab.page.getByRole("button", { name: "Agents and threads" });
    assert.equal(await tab.threads.isVisible(), false);
    await tab.say("A long word: Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft");
    await tab.holds("You said: A long word");
    const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${width} pixels wide`);

    await menu.click();
    await tab.threads.waitFor();
    await tab.page.keyboard.press("Escape");
    await tab.threads.waitFor({ state: "hidden" });
    assert.equal(await menu.evaluate((button) => button === document.activeElement), true);

    await menu.click();
    await tab.press("New chat");
    await tab.threads.waitFor({ state: "hidden" });
    await tab.shows([]);
    await menu.click();
    await tab.threads.locator("li .name").first().click();
    await tab.holds("You said: A long word");
  });
});

describe("the page before there is an agent", () => {
  const started = useDemoPage();

  test("the demo agent calls a tool of the page", async () => {
    const tab = await started.profile.openTab();
    await tab.page.getByRole("button", { name: "Use a tool" }).click();
    const call = tab.page.getByTestId("copilot-tool-render");
    await call.getByText("Done").waitFor();
    await call.getByRole("button").click();
    await call.getByText('"theme": "dark"').waitFor();
    await tab.holds("The page is dark now");
    assert.equal(await tab.page.evaluate(() => document.documentElement.classList.contains("dark")), true);
  });

  test("the demo agent gets the approval it asks for", async () => {
    const tab = await started.profile.openTab();
    await tab.say("Ask for approval");
    await tab.page.getByRole("button", { name: "Yes" }).click();
    await tab.holds("You approved, so I go on.");
    assert.equal(await tab.page.getByTestId("copilot-assistant-message").count(), 2);
  });

  test("code is coloured, and nobody else is asked", async () => {
    const tab = await started.profile.openTab();
    await tab.say("help");
    await tab.page.locator('[data-streamdown="code-block-body"] span[style*="color"]').first().waitFor();
  });
});

describe("the page of a runtime that tells users apart", () => {
  const started = usePageWithUsers();

  test("a stranger is told what is wrong", async () => {
    const tab = await started.profile.openTab(undefined, { refused: true });
    await tab.page.getByRole("heading", { name: "Who are you?" }).waitFor();
    await tab.warns("The request does not say who sends it; sign in first");
    started.profile.forgive(/401/);
  });

  test("users see their own threads", async () => {
    const enter = async (user) => {
      const tab = await started.profile.openTab("about:blank", { refused: true });
      await tab.page.setExtraHTTPHeaders({ "x-user": user });
      await tab.page.goto(started.site.url);
      return tab;
    };
    const ada = await enter("ada");
    await ada.say("My secret");
    await ada.listed("My secret");
    const eve = await enter("eve");
    await eve.lists([]);
    await eve.say("Mine");
    await eve.lists(["Mine"]);
  });
});
