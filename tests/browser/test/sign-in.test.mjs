import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openProfile } from "../support/browser.mjs";
import { keys, tokenOf } from "../support/credentials.mjs";
import { usePageOnPlatform, usePageWithCredentials } from "../support/harness.mjs";

describe("the page of a runtime that knows users by tokens and keys", () => {
  const started = usePageWithCredentials();
  const { visit, signIn, forgiveStrangers } = signingIn(started);

  test("a first visit asks for a token or key, and where the keyboard is", async () => {
    const tab = await visit();
    await tab.page.getByRole("heading", { name: "Who are you?" }).waitFor();
    await tab.warns("The request does not say who sends it; sign in first");
    await tab.hasFocus(tab.credential);
    assert.equal(await tab.credential.getAttribute("type"), "password");
    assert.equal(await tab.credential.getAttribute("autocomplete"), "off");
    forgiveStrangers();
  });

  test("a wrong key is answered with the runtime's reason, and can be typed anew", async () => {
    const tab = await visit();
    for (const [wrong, reason] of [
      ["ckr_wrong", "the token is no JWT"],
      [tokenOf("ada", -3600), "the token has expired"],
      ["two words", "A token or key has neither spaces nor special letters"],
    ]) {
      await tab.signIn(wrong);
      await tab.warns(reason);
      await tab.hasFocus(tab.credential);
    }
    assert.equal(await tab.credential.getAttribute("aria-invalid"), "true");
    await tab.signIn(keys.ada);
    await tab.input.waitFor();
    forgiveStrangers();
  });

  test("every part of the page carries an API key", async () => {
    const tab = await signIn(keys.ada);
    await tab.say("Sea");
    await tab.shows([["user", "Sea"], ["assistant", "You said: Sea"]]);
    await tab.lists(["Sea"]);
    await tab.rename("Sea", "Ocean");
    await tab.lists(["Ocean"]);
    await tab.threads.getByRole("searchbox").fill("said");
    await tab.lists(["Ocean"]);
    await tab.page.getByRole("button", { name: "State and events" }).click();
    const panel = tab.page.getByRole("complementary", { name: "State and events" });
    await panel.getByRole("button", { name: "Events" }).click();
    await panel.getByText("RUN_FINISHED").waitFor();
    await tab.say("Please wait");
    await tab.holds("Please wait");
    const run = await started.agents.arrived("patient", tab.threadId, 1);
    await tab.stop();
    await tab.lists(["Ocean"]);
    assert.equal(run.headers.authorization, undefined);
    forgiveStrangers();
  });

  test("a token opens the page too, with or without its scheme in front", async () => {
    const tab = await signIn(`Bearer ${tokenOf("ada")}`);
    await tab.say("Hello");
    await tab.lists(["Hello"]);
    forgiveStrangers();
  });

  test("a user stays signed in over a reload, in this tab and no other", async () => {
    const tab = await signIn(keys.ada);
    await tab.say("Hello");
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
    await tab.reload();
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
    assert.equal(tab.address.includes(keys.ada), false);
    const other = await started.profile.openTab(tab.address, { refused: true });
    await other.credential.waitFor();
    assert.equal(await other.page.evaluate((key) => JSON.stringify(localStorage).includes(key), keys.ada), false);
    forgiveStrangers();
  });

  test("who signs out is forgotten, and nobody else finds their threads", async () => {
    const tab = await signIn(keys.ada);
    await tab.say("My secret");
    await tab.lists(["My secret"]);
    const { threadId } = tab;
    await tab.page.getByRole("button", { name: "Sign out" }).click();
    await tab.page.getByRole("heading", { name: "Who are you?" }).waitFor();
    await tab.page.reload();
    await tab.signIn(keys.eve);
    await tab.input.waitFor();
    assert.notEqual(tab.threadId, threadId);
    await tab.lists([]);
    await tab.say("Mine");
    await tab.lists(["Mine"]);
    forgiveStrangers();
  });

  test("two users with two keys see their own threads", async () => {
    const ada = await signIn(keys.ada);
    await ada.say("My secret");
    await ada.lists(["My secret"]);
    const eve = await signIn(keys.eve, ada.address);
    await eve.shows([]);
    await eve.lists([]);
    await eve.say("Mine");
    await eve.lists(["Mine"]);
    await ada.reload();
    await ada.lists(["My secret"]);
    await ada.shows([["user", "My secret"], ["assistant", "You said: My secret"]]);
    forgiveStrangers();
  });

  test("whose token ends is asked to sign in again, and finds the thread as it was", async () => {
    const tab = await signIn(tokenOf("ada"));
    await tab.say("Hello");
    await tab.lists(["Hello"]);
    const headers = { authorization: `Bearer ${tokenOf("ada", -3600)}` };
    const later = (route) => route.continue({ headers: { ...route.request().headers(), ...headers } });
    await tab.page.route("**/api/copilotkit/**", later);
    await tab.say("And now?");
    await tab.page.getByRole("heading", { name: "Sign in again" }).waitFor();
    await tab.warns("the token has expired");
    await tab.page.unroute("**/api/copilotkit/**", later);
    await tab.signIn(tokenOf("ada"));
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
    started.profile.forgive(/401|expired/);
  });

  test("a list of threads that is refused asks to sign in again as well", async () => {
    const tab = await signIn(keys.ada);
    await tab.lists([]);
    const later = (route) => route.continue({ headers: { ...route.request().headers(), authorization: "Bearer taken-back" } });
    await tab.page.route("**/api/copilotkit/**", later);
    await tab.page.evaluate(() => window.dispatchEvent(new Event("focus")));
    await tab.page.getByRole("heading", { name: "Sign in again" }).waitFor();
    forgiveStrangers();
  });

  test("signing in and out fits a phone", async () => {
    const profile = await openProfile(started.browser, started.site.url, { viewport: { width: 390, height: 844 } });
    const tab = await profile.openTab(undefined, { refused: true });
    await tab.credential.waitFor();
    const width = () => tab.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok((await width()) <= 390, `${await width()} pixels wide`);
    await tab.signIn(keys.ada);
    await tab.input.waitFor();
    await tab.page.getByRole("button", { name: "Agents and threads" }).click();
    await tab.page.getByRole("button", { name: "Sign out" }).click();
    await tab.credential.waitFor();
    profile.forgive(/401/);
    await profile.close();
    assert.deepEqual(profile.problems, []);
  });
});

describe("the page of a runtime on the Intelligence platform", () => {
  const started = usePageOnPlatform();
  const { signIn, forgiveStrangers } = signingIn(started);

  test("chats, lists threads as they come, and shows them again", async () => {
    const tab = await signIn(keys.ada);
    await tab.lists([]);
    assert.equal(await tab.threads.getByRole("searchbox").count(), 0);
    await tab.page.getByRole("button", { name: "State and events" }).click();
    await tab.page.getByText("The agent shares no state").waitFor();
    started.profile.forgive(/404/);
    // The platform's threads are named by their agent, which is not to wait here.
    await tab.say("Hello");
    await tab.shows([["user", "Hello"], ["assistant", "You said: Hello"]]);
    await tab.listed("Hello");
    const half = [["user", "Hello"], ["assistant", "You said: Hello"], ["user", "Please wait"], ["assistant", "You said:"]];
    const whole = [...half.slice(0, 3), ["assistant", "You said: Please wait"]];
    await tab.say("Please wait");
    await tab.shows(half);
    started.agents.release(tab.threadId);
    await tab.shows(whole);
    await tab.reload();
    await tab.shows(whole);
    await tab.rename("Hello", "Tide");
    await tab.lists(["Tide"]);

    const eve = await signIn(keys.eve);
    await eve.lists([]);
    await tab.act("Tide", "Delete");
    await tab.lists([]);
    forgiveStrangers();
  });
});

/** How a user gets in, at an address or the front page. */
function signingIn(started) {
  const visit = async (address) => {
    const tab = await started.profile.openTab(address, { refused: true });
    await tab.credential.waitFor();
    return tab;
  };
  return {
    visit,
    async signIn(credential, address) {
      const tab = await visit(address);
      await tab.signIn(credential);
      await tab.input.waitFor();
      return tab;
    },
    /** Browsers write every 401 to the console. */
    forgiveStrangers: () => started.profile.forgive(/401/),
  };
}
