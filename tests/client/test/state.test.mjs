import assert from "node:assert/strict";
import { clients } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();
const afterOneRun = { count: 1, steps: ["started", "counted"], nested: { ratio: 0.5 } };

forEach(clients, "snapshot and delta make the shared state", async (client) => {
  const session = await client.open(started.runtime, { agent: "state" });
  await session.say("count");
  assert.ok(session.types.includes("STATE_SNAPSHOT"));
  assert.ok(session.types.includes("STATE_DELTA"));
  assert.deepEqual(session.state, afterOneRun);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "what the client puts into the state reaches the agent", async (client) => {
  const session = await client.open(started.runtime, { agent: "state" });
  session.agent.setState({ count: 41 });
  await session.say("count");
  assert.equal(session.state.count, 42);
});

forEach(clients, "the state of the previous run goes into the next", async (client) => {
  const session = await client.open(started.runtime, { agent: "state" });
  await session.say("count");
  await session.say("again");
  const { input } = await started.agents.arrived("state", session.threadId, 1);
  assert.deepEqual(input.state, afterOneRun);
  assert.equal(session.state.count, 2);
});

forEach(clients, "a reloaded client gets the state back", async (client) => {
  const session = await client.open(started.runtime, { agent: "state" });
  await session.say("count");
  await session.say("again");

  const reloaded = await client.open(started.runtime, { agent: "state", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.state, session.state);
  assert.deepEqual(reloaded.errors, []);
});
