// What every test file starts with: a runtime with the scripted agents, the example in front of it, and a browser.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { startAgents } from "../../client/support/agents.mjs";
import { startDemoRuntime, startRuntime } from "../../client/support/runtime.mjs";
import { launchBrowser, openProfile } from "./browser.mjs";
import { serveExample } from "./site.mjs";

/** The example's agent is the scripted `patient`; `started.agents.release(threadId)` lets it go on. */
export function useExample() {
  return useSite(async (started, atEnd) => {
    const agents = await startAgents();
    atEnd(() => agents.close());
    started.agents = agents;
    return startRuntime({ names: ["default"], url: () => agents.url("patient") });
  });
}

/** The example's agent is the one that answers when none is configured. */
export function useDemoExample() {
  return useSite(() => startDemoRuntime());
}

/** Every test finds no threads and gets a browser profile, `started.profile`, in which no page may have had a problem. */
function useSite(startRuntime) {
  const started = {};
  const ends = [];
  const atEnd = (end) => ends.unshift(end);
  before(async () => {
    started.runtime = await startRuntime(started, atEnd);
    atEnd(() => started.runtime.stop());
    started.site = await serveExample(started.runtime);
    atEnd(() => started.site.close());
    started.browser = await launchBrowser();
    atEnd(() => started.browser.close());
  });
  beforeEach(async () => {
    const cleared = await fetch(`${started.runtime.url}/threads/clear`, { method: "POST" });
    assert.equal(cleared.status, 204);
    started.profile = await openProfile(started.browser, started.site.url);
  });
  afterEach(async () => {
    await started.profile.close();
    assert.deepEqual(started.profile.problems, []);
  });
  after(async () => {
    for (const end of ends) await end();
  });
  return started;
}
