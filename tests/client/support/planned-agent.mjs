// An AG-UI server whose runs say what was planned for them, event by event, and which remembers what it has said.

import { createServer } from "node:http";
import { makePlan } from "./plans.mjs";
import { seeded } from "./random.mjs";

/**
 * Starts the server. `plans` maps run ids to plans (plans.mjs); a run without one says little. For each run that reaches the agent, `runs` has under
 * its id `{ input, said, ended, gone }`: the events written so far, whether all were, and a promise of the connection's end.
 *
 * A plan may be one of misconduct: with `status` the agent answers that and no event. With `ending` it writes, after the steps,
 * its `text` as it is, and then falls silent (`then: "hang"`), cuts the connection (`"cut"`) or ends the answer (`"end"`).
 */
export async function startPlannedAgent() {
  const plans = new Map();
  const runs = new Map();

  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const input = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const run = { input, said: [], ended: false, gone: new Promise((resolve) => response.once("close", resolve)) };
    runs.set(input.runId, run);

    const { silence, steps, status = 200, ending } = plans.get(input.runId) ?? makePlan(seeded(runs.size), { ...input, size: 10, hurry: true });
    const pause = (ms) => ms && new Promise((resolve) => setTimeout(resolve, ms));
    if (status !== 200) return response.writeHead(status).end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    await pause(silence);
    for (const step of steps) {
      await pause(step.pause);
      if (response.destroyed) return;
      run.said.push(...step.events);
      response.write(step.events.map((json) => `data: ${json}\n\n`).join(""));
    }
    run.ended = true;
    if (ending?.text) response.write(ending.text);
    if (ending?.then === "hang") return;
    if (ending?.then === "cut") response.destroy();
    else response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    plans,
    runs,
    url: `http://127.0.0.1:${server.address().port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
