// What every test file starts with: the scripted agents, and a runtime in front of them.

import { after, before, test } from "node:test";
import { agentsPort, startDemoRuntime, startRuntime } from "./runtime.mjs";
import { startAgents } from "./agents.mjs";

/** Starts both before the tests of the file and stops them afterwards. */
export function useRuntime() {
  const started = {};
  before(async () => {
    started.agents = await startAgents(agentsPort);
    started.runtime = await startRuntime(started.agents).catch(async (error) => {
      await started.agents.close();
      throw error;
    });
  });
  after(async () => {
    await started.agents?.close();
    await started.runtime?.stop();
  });
  return started;
}

/** Starts a runtime without configured agents. */
export function useDemoRuntime() {
  const started = {};
  before(async () => {
    started.runtime = await startDemoRuntime();
  });
  after(() => started.runtime?.stop());
  return started;
}

/** The same test for each of the clients. */
export function forEach(clients, statement, body) {
  for (const client of clients) test(`${statement} [${client.name}]`, () => body(client));
}
