// What every test file starts with: a runtime, the page it serves or the example in front of it, and a browser.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { startAgents } from "../../client/support/agents.mjs";
import { agentSection, install, startDemoRuntime, startRuntime } from "../../client/support/runtime.mjs";
import { API_KEY, startPlatform } from "../../client/support/platform.mjs";
import { launchBrowser, openProfile } from "./browser.mjs";
import { credentialSections, keys } from "./credentials.mjs";
import { serveExample } from "./site.mjs";

/** The example's agent is a scripted one; `started.agents.release(threadId)` lets `patient` go on. */
export function useExample(script = "patient") {
  return useSite(async (started, atEnd) => {
    const agents = await startAgents();
    atEnd(() => agents.close());
    started.agents = agents;
    return startRuntime({ names: ["default"], url: () => agents.url(script) });
  });
}

/** The example's agent is the one that answers when none is configured. */
export function useDemoExample() {
  return useSite(() => startDemoRuntime());
}

/** The page the binary serves itself, with a scripted agent as `default` and others under their own names. */
export function usePage(script = "patient") {
  return useSite(async (started, atEnd) => {
    const agents = await startAgents();
    atEnd(() => agents.close());
    started.agents = agents;
    const names = ["default", "text", "fails", "state", "interrupt"];
    return startRuntime({ names, url: (name) => agents.url(name === "default" ? script : name) });
  }, serveItself);
}

/** The page of a runtime without agents of its own. */
export function useDemoPage() {
  return useSite(() => startDemoRuntime(), serveItself);
}

/** The page of a runtime that tells its users apart by the header `x-user`. */
export function usePageWithUsers() {
  return useConfigured(() => '[users]\nheader = "x-user"\n', [{ "x-user": "ada" }, { "x-user": "eve" }]);
}

/** The page of a runtime that knows its users by the credentials in `credentials.mjs`. */
export function usePageWithCredentials() {
  return useConfigured(() => credentialSections, owners);
}

/** The same where the Intelligence platform keeps the threads. */
export function usePageOnPlatform() {
  return useConfigured(async (atEnd) => {
    const platform = await startPlatform();
    atEnd(() => platform.stop());
    const place = { api_key: API_KEY, api_url: platform.url, ws_url: platform.wsUrl };
    const settings = Object.entries(place).map(([name, value]) => `${name} = "${value}"\n`);
    return `[intelligence]\n${settings.join("")}\n${credentialSections}`;
  }, owners);
}

const owners = Object.values(keys).map((key) => ({ authorization: `Bearer ${key}` }));

/** The page in front of one scripted agent, with more sections in the configuration; `owners` are the headers of its users. */
function useConfigured(sections, owners) {
  return useSite(
    async (started, atEnd) => {
      started.agents = await startAgents();
      atEnd(() => started.agents.close());
      const place = install(`${await sections(atEnd)}\n${agentSection("default", started.agents.url("patient"))}`);
      atEnd(() => place.remove());
      return place.start();
    },
    serveItself,
    owners,
  );
}

const serveItself = (runtime) => ({ url: `${new URL(runtime.url).origin}/`, close() {} });

/** Every test finds no threads and gets a browser profile, `started.profile`, in which no page may have had a problem. */
function useSite(startRuntime, serve = serveExample, owners = [{}]) {
  const started = {};
  const ends = [];
  const atEnd = (end) => ends.unshift(end);
  before(async () => {
    started.runtime = await startRuntime(started, atEnd);
    atEnd(() => started.runtime.stop());
    started.site = await serve(started.runtime);
    atEnd(() => started.site.close());
    started.browser = await launchBrowser();
    atEnd(() => started.browser.close());
  });
  beforeEach(async () => {
    for (const headers of owners) {
      const cleared = await fetch(`${started.runtime.url}/threads/clear`, { method: "POST", headers });
      assert.equal(cleared.status, 204);
    }
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
