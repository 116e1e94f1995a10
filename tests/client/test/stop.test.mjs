import assert from "node:assert/strict";
import { agUiClients, clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";
import { until, within } from "../support/wait.mjs";

const started = useRuntime();
/** Long before the agent would have ended by itself. */
const PROMPTLY_MS = 30_000;

/** A session whose slow run has been stopped and has ended. */
async function stopped(client) {
  const session = await client.open(started.runtime, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  await session.stop();
  await within(done, () => `the stopped run to end; ${session.story}`, PROMPTLY_MS);
  return session;
}

forEach(clients, "a stopped run's stream ends cleanly", async (client) => {
  const session = await stopped(client);

  assert.deepEqual(session.errors, []);
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.equal(session.types.includes("RUN_ERROR"), false);
  assert.equal(session.types.filter((type) => type === "TEXT_MESSAGE_END").length, 1);
  const { input } = await started.agents.arrived("slow", session.threadId);
  assert.equal(session.events.at(-1).threadId, session.threadId);
  assert.equal(session.events.at(-1).runId, input.runId);
  assert.equal(session.agent.isRunning, false);
  assert.match(session.answer, /^tick 0 /);
});

forEach(clients, "stopping closes the connection to the agent promptly", async (client) => {
  const session = await stopped(client);
  const run = await started.agents.arrived("slow", session.threadId);
  await until(() => run.aborted, "the agent's connection to be closed", PROMPTLY_MS);
});

forEach(clients, "the thread can be run again after a stop", async (client) => {
  const session = await stopped(client);
  await session.say("quick");

  assert.equal(session.answer, "Quick answer.");
  assert.deepEqual(session.messages.map((message) => message.role), ["user", "assistant", "user", "assistant"]);
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(session.errors, []);
});

forEach(clients, "a reloaded client restores a stopped run, and what came after it", async (client) => {
  const session = await stopped(client);
  const first = await client.open(started.runtime, { agent: "slow", threadId: session.threadId });
  await first.restore();
  assert.deepEqual(first.errors, []);
  assert.deepEqual(first.transcript, session.transcript);
  assert.equal(first.types.at(-1), "RUN_FINISHED");

  await session.say("quick");
  const second = await client.open(started.runtime, { agent: "slow", threadId: session.threadId });
  await second.restore();
  assert.deepEqual(second.errors, []);
  assert.deepEqual(second.transcript, session.transcript);
  assert.equal(second.messages.length, 4);
});

forEach(clients, "a watcher of a stopped run is let go cleanly too", async (client) => {
  const session = await client.open(started.runtime, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  const watcher = await client.open(started.runtime, { agent: "slow", threadId: session.threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer.startsWith("tick 0"), "the watcher to see the run");

  await session.stop();
  await within(Promise.all([done, watched]), "both streams to end", PROMPTLY_MS);
  assert.deepEqual(watcher.errors, []);
  assert.equal(watcher.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(watcher.transcript, session.transcript);
});

forEach(cores, "core stops only the run it started", async (client) => {
  const session = await client.open(started.runtime, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  const { input } = await started.agents.arrived("slow", session.threadId);
  const url = `${started.runtime.url}/agent/slow/stop/${session.threadId}`;
  const other = await fetch(url, { method: "POST", body: JSON.stringify({ runId: "another-run" }) });
  assert.equal((await other.json()).stopped, false);
  assert.equal(session.agent.isRunning, true);

  const own = await fetch(url, { method: "POST", body: JSON.stringify({ runId: input.runId }) });
  assert.equal((await own.json()).stopped, true);
  await within(done, "the stopped run to end", PROMPTLY_MS);
});

forEach(agUiClients, "the answer to a stop says whether a run was stopped", async (client) => {
  const session = await client.open(started.runtime, { agent: "slow" });
  assert.equal((await session.stop()).stopped, false);
  const { done } = await session.begin("tell me a long story");
  assert.equal((await session.stop()).stopped, true);
  await within(done, "the stopped run to end", PROMPTLY_MS);
});

forEach(clients, "a tool call cut off by a stop is closed and not carried out", async (client) => {
  let called = 0;
  const weather = { name: "weather", description: "", schema: { type: "object" }, handler: async () => void called++ };
  const session = await client.open(started.runtime, { agent: "gatedTool", tools: [weather] });
  const done = session.say("what is the weather?");
  await until(() => session.types.includes("TOOL_CALL_ARGS"), "half of the tool call");
  await session.stop();
  await within(done, () => `the stopped run to end; ${session.story}`, PROMPTLY_MS);

  const reloaded = await client.open(started.runtime, { agent: "gatedTool", threadId: session.threadId, tools: [weather] });
  await reloaded.restore();
  for (const { messages, types, errors } of [session, reloaded]) {
    const result = messages.find((message) => message.role === "tool");
    assert.equal(JSON.parse(result.content).status, "stopped");
    assert.deepEqual(types.slice(-3), ["TOOL_CALL_END", "TOOL_CALL_RESULT", "RUN_FINISHED"]);
    assert.deepEqual(errors, []);
  }
  assert.equal(called, 0);
});

forEach(cores, "stopping twice is harmless", async (client) => {
  const session = await client.open(started.runtime, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  session.stop();
  session.stop();
  await within(done, "the stopped run to end", PROMPTLY_MS);
  await session.say("quick");
  assert.equal(session.answer, "Quick answer.");
  assert.deepEqual(session.errors, []);
});
