// A runtime in Intelligence mode: the driver of the conformance harness in front of the scripted platform, both processes.

import { after, before } from "node:test";
import { WebSocket } from "ws";
import { startAgents } from "./agents.mjs";
import { API_KEY, examples, start, startPlatform } from "./platform.mjs";

// As in a browser. Node 20 has none of its own but an experimental one, which does not tell that it was refused.
globalThis.WebSocket = WebSocket;

/** `INTELLIGENCE_DRIVER` is the command of another driver. */
const driver = process.env.INTELLIGENCE_DRIVER?.split(" ") ?? [`${examples}/conformance_driver`];

/** Starts everything before the tests of the file, and ends it afterwards. `options` are the platform's. */
export function useIntelligence(script, options) {
  const started = {};
  before(async () => {
    started.agents = await startAgents();
    started.platform = await startPlatform(options);
    started.runtime = await startDriver(started.platform, started.agents.url(script));
  });
  after(async () => {
    await started.agents?.close();
    await started.runtime?.stop();
    await started.platform?.stop();
  });
  return started;
}

/** A runtime that keeps its threads in the platform, with one agent, `default`. */
async function startDriver(platform, agentUrl) {
  const config = {
    port: 0,
    apiUrl: platform.url,
    runnerUrl: `${platform.wsUrl}/runner`,
    clientUrl: `${platform.wsUrl}/client`,
    apiKey: API_KEY,
    agentUrl,
    telemetryDisabled: true,
  };
  const child = await start(driver, { CPK_CONFIG: JSON.stringify(config) });
  return { url: `http://127.0.0.1:${child.port}/copilotkit`, output: child.output, stop: child.stop };
}
