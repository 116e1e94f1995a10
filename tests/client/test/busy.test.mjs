import assert from "node:assert/strict";
import { clients } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();

forEach(clients, "a second run on a running thread is refused visibly, and the first goes on", async (client) => {
  const first = await client.open(started.runtime, { agent: "gated" });
  const { done } = await first.begin("hello");

  const second = await client.open(started.runtime, { agent: "gated", threadId: first.threadId });
  await second.say("me too");
  assert.deepEqual(second.errors.map(({ code }) => code), ["THREAD_BUSY"]);
  assert.ok(second.errors[0].message.length > 0);
  assert.equal(second.types.at(-1), "RUN_ERROR");
  assert.equal(second.agent.isRunning, false);

  started.agents.release(first.threadId);
  await done;
  assert.equal(first.answer, "before after");
  assert.equal(first.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(first.errors, []);
  assert.equal(started.agents.runs.filter((run) => run.input.threadId === first.threadId).length, 1);
});

forEach(clients, "a refused run leaves no trace, and may be tried again", async (client) => {
  const first = await client.open(started.runtime, { agent: "gated" });
  const { done } = await first.begin("hello");
  const second = await client.open(started.runtime, { agent: "text", threadId: first.threadId });
  await second.say("me too");
  assert.equal(second.errors.length, 1);
  started.agents.release(first.threadId);
  await done;

  const reloaded = await client.open(started.runtime, { agent: "text", threadId: first.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "before after"]]);
  await reloaded.say("now me");
  assert.equal(reloaded.answer, "You said: now me");
  assert.deepEqual(reloaded.errors, []);
});

forEach(clients, "different threads run side by side", async (client) => {
  const sessions = await Promise.all([1, 2, 3].map(() => client.open(started.runtime, { agent: "gated" })));
  const runs = await Promise.all(sessions.map((session) => session.begin("hello")));
  for (const session of sessions.toReversed()) started.agents.release(session.threadId);
  await Promise.all(runs.map(({ done }) => done));
  for (const session of sessions) {
    assert.equal(session.answer, "before after");
    assert.deepEqual(session.errors, []);
  }
});
