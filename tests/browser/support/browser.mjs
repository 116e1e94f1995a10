// Chromium, and the example's page as its user sees it.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { DEADLINE_MS, until } from "../../client/support/wait.mjs";

/** Starts the Chromium that CHROMIUM names, or Debian's. One that crashes as it starts is started again. */
export async function launchBrowser(attempts = 3) {
  try {
    return await chromium.launch({
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      // The sandbox does not start for root, which is who runs in most containers.
      args: ["--disable-gpu", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
    });
  } catch (error) {
    if (attempts === 1) throw error;
    return launchBrowser(attempts - 1);
  }
}

/** A browser profile of its own; its tabs share it. */
export async function openProfile(browser, url, options) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 700 }, ...options });
  context.setDefaultTimeout(DEADLINE_MS);
  const problems = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) problems.push(`asked ${request.url()}`);
  });
  context.on("weberror", (error) => problems.push(String(error.error())));
  context.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  return {
    /** What no page may do: throw, write errors to the console, ask anybody but its own server. */
    problems,
    /** Forgives problems of this kind; there must have been one. */
    forgive(kind) {
      const others = problems.filter((problem) => !kind.test(problem));
      assert.ok(others.length < problems.length, `no problem is ${kind}: ${problems}`);
      problems.splice(0, problems.length, ...others);
    },
    /** Opens a tab: at the front page, or at the address of another tab. One that is `refused` shows no chat. */
    async openTab(address = url, { refused = false } = {}) {
      const page = await context.newPage();
      page.on("dialog", (dialog) => dialog.accept());
      const tab = new Tab(page);
      await tab.arrives(() => page.goto(address), refused);
      return tab;
    },
    close: () => context.close(),
  };
}

class Tab {
  constructor(page) {
    this.page = page;
    this.input = page.getByTestId("copilot-chat-textarea");
    this.credential = page.getByLabel("Token or API key");
    this.threads = page.getByRole("navigation", { name: "Threads" });
  }

  get address() {
    return this.page.url();
  }

  get threadId() {
    return new URLSearchParams(new URL(this.address).hash.slice(1)).get("thread");
  }

  async say(text) {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** Gives a token or API key to a page that asks for one. */
  async signIn(credential) {
    await this.credential.fill(credential);
    await this.credential.press("Enter");
  }

  /** Waits until this is what the keyboard writes to. */
  hasFocus(locator) {
    return settles(() => locator.evaluate((element) => element === document.activeElement), true);
  }

  reload() {
    return this.arrives(() => this.page.reload());
  }

  /** Waits until the chat knows its thread. What is typed before goes to an agent that CopilotKit forgets then. */
  async arrives(go, refused = false) {
    const connected = refused || this.page.waitForResponse((response) => response.url().endsWith("/connect"));
    await go();
    await connected;
    if (!refused) await this.input.waitFor();
  }

  /** Waits until the chat shows exactly these messages, each `[role, text]`. */
  shows(expected) {
    return settles(() => this.#messages(), expected);
  }

  /** Waits until the list of threads holds these names in this order. */
  lists(expected) {
    return settles(() => this.threads.locator("li .name").allInnerTexts(), expected);
  }

  /** Waits until a thread of this name is in the list. */
  listed(name) {
    return this.#row(name).waitFor();
  }

  /** Waits until the thread of this name is the one marked as open. */
  marks(name) {
    return settles(() => this.threads.locator("li [aria-current]").allInnerTexts(), [name]);
  }

  /** Chooses an agent of the runtime's own page, and begins a thread with it. */
  choose(agent) {
    return this.page.getByRole("navigation", { name: "Agents" }).getByRole("button", { name: agent }).click();
  }

  /** Waits until the chat holds this text. */
  holds(text) {
    return this.page.getByTestId("copilot-message-list").getByText(text).first().waitFor();
  }

  /** Waits until an alert says this. */
  warns(text) {
    return this.page.getByRole("alert").filter({ hasText: text }).waitFor();
  }

  /** Stops the run that goes on, or sends what was typed: it is the same button. */
  async stop() {
    await this.page.getByTestId("copilot-send-button").click();
  }

  /** Presses a button of the thread list. */
  press(button) {
    return this.threads.getByRole("button", { name: button, exact: true }).click();
  }

  /** Ticks or unticks a box of the thread list. */
  tick(box, on) {
    return this.threads.getByRole("checkbox", { name: box }).setChecked(on);
  }

  /** Opens the thread of this name. */
  open(name) {
    return this.press(name);
  }

  /** Archives, unarchives or deletes the thread of this name, by the button of that name. */
  act(name, action) {
    return this.#changes(() => this.#pressAt(name, action));
  }

  async rename(name, newName) {
    await this.#pressAt(name, "Rename");
    const field = this.threads.getByRole("textbox", { name: "Name" });
    await field.fill(newName);
    await this.#changes(() => field.press("Enter"));
  }

  /** The list shows a change before the runtime has made it: this waits until it has. */
  async #changes(action) {
    const answer = this.page.waitForResponse(
      (response) => response.url().includes("/threads/") && response.request().method() !== "GET",
    );
    await action();
    assert.equal((await answer).status(), 200);
  }

  async #pressAt(name, action) {
    const row = this.#row(name);
    await row.hover();
    await row.getByRole("button", { name: action, exact: true }).click();
  }

  #row(name) {
    return this.threads.getByRole("listitem").filter({ has: this.page.getByRole("button", { name, exact: true }) });
  }

  #messages() {
    return this.page.locator("[data-message-id]").evaluateAll((elements) =>
      elements.map((element) => [
        element.dataset.testid?.match(/^copilot-(user|assistant)-message$/)?.[1] ?? "other",
        element.innerText.trim(),
      ]),
    );
  }
}

/** Waits until `read()` answers `expected`; fails with the difference. */
async function settles(read, expected) {
  let actual;
  await until(async () => {
    actual = await read();
    return JSON.stringify(actual) === JSON.stringify(expected);
  }, "the page to settle").catch(() => assert.deepEqual(actual, expected));
}
