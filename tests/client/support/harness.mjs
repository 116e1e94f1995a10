// What every test file starts with: the scripted agents, and a runtime in front of them.

import { after, before, test } from "node:test";
import { agentsPort, external, startDemoRuntime, startRuntime } from "./runtime.mjs";
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
export function forEach(clients, statement, body, register = test) {
  for (const client of clients) register(`${statement} [${client.name}]`, () => body(client));
}

/** `test` for what starts and ends processes: left out where the runtime is somebody else's. */
export function ownTest(statement, ...rest) {
  if (external) test(statement, { skip: "needs a runtime of its own" }, () => {});
  else test(statement, ...rest);
}

/** `forEach` for the same. */
export function forEachOwn(clients, statement, body) {
  forEach(clients, statement, body, ownTest);
}
