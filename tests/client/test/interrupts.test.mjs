import assert from "node:assert/strict";
import { clients } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();
const approval = [{ interruptId: "ask-1", status: "resolved", payload: { approved: true } }];

forEach(clients, "an interrupt reaches the client, and its answer resumes the agent", async (client) => {
  const session = await client.open(started.runtime, { agent: "interrupt" });
  await session.say("send the mail");
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.equal(session.events.at(-1).outcome.type, "interrupt");
  assert.deepEqual(session.agent.pendingInterrupts.map(({ id, reason, message }) => ({ id, reason, message })), [
    { id: "ask-1", reason: "approval", message: "Send the mail?" },
  ]);

  await session.run({ resume: approval });
  assert.equal(session.answer, `Resumed ask-1: resolved {"approved":true}`);
  assert.deepEqual(session.agent.pendingInterrupts, []);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "a reloaded client finds the interrupt still open", async (client) => {
  const session = await client.open(started.runtime, { agent: "interrupt" });
  await session.say("send the mail");

  const reloaded = await client.open(started.runtime, { agent: "interrupt", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.agent.pendingInterrupts.map(({ id }) => id), ["ask-1"]);

  await reloaded.run({ resume: approval });
  assert.equal(reloaded.answer, `Resumed ask-1: resolved {"approved":true}`);
  assert.deepEqual(reloaded.errors, []);
});

forEach(clients, "once resumed, the interrupt is closed for a reloaded client as well", async (client) => {
  const session = await client.open(started.runtime, { agent: "interrupt" });
  await session.say("send the mail");
  await session.run({ resume: approval });

  const reloaded = await client.open(started.runtime, { agent: "interrupt", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, session.transcript);
  assert.deepEqual(reloaded.agent.pendingInterrupts, []);
  assert.deepEqual(reloaded.errors, []);
});
