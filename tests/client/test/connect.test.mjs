import assert from "node:assert/strict";
import { clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";
import { until } from "../support/wait.mjs";

const started = useRuntime();

function reload(client, { agent, threadId }) {
  return client.open(started.runtime, { agent, threadId });
}

forEach(clients, "a reloaded client sees every message once, in order", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("one");
  await session.say("two");
  await session.say("three");

  const reloaded = await reload(client, { agent: "text", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, session.transcript);
  assert.deepEqual(reloaded.messages.map((message) => message.id), session.messages.map((message) => message.id));
  assert.deepEqual(reloaded.errors, []);
});

forEach(cores, "going to another thread and back shows each as it is", async (client) => {
  const first = await client.open(started.runtime, { agent: "text" });
  await first.say("one");
  const second = await client.open(started.runtime, { agent: "text" });
  await second.say("two");

  const reader = await reload(client, { agent: "text", threadId: first.threadId });
  for (const session of [first, second, first]) {
    reader.agent.threadId = session.threadId;
    await reader.restore();
    assert.deepEqual(reader.transcript, session.transcript);
  }
  assert.deepEqual(reader.errors, []);
});

forEach(clients, "a restored thread goes on", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("one");

  const reloaded = await reload(client, { agent: "text", threadId: session.threadId });
  await reloaded.restore();
  await reloaded.say("two");
  assert.deepEqual(reloaded.transcript.map(([, text]) => text), ["one", "You said: one", "two", "You said: two"]);

  const again = await reload(client, { agent: "text", threadId: session.threadId });
  await again.restore();
  assert.deepEqual(again.transcript, reloaded.transcript);
});

forEach(clients, "an unknown thread is empty, not an error", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.restore();
  assert.deepEqual(session.messages, []);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "connecting during a run shows it from the start and follows it to the end", async (client) => {
  const session = await client.open(started.runtime, { agent: "gated" });
  const { done } = await session.begin("hello");

  const watcher = await reload(client, { agent: "gated", threadId: session.threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer === "before ", () => `the watcher to catch up; ${watcher.story}`);
  assert.equal(watcher.agent.isRunning, true);

  started.agents.release(session.threadId);
  await Promise.all([done, watched]);
  assert.deepEqual(watcher.transcript, [["user", "hello"], ["assistant", "before after"]]);
  assert.deepEqual(watcher.transcript, session.transcript);
  assert.deepEqual(watcher.errors, []);
});

forEach(clients, "connecting during a second run joins history and live without repetition", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("one");
  const second = await client.open(started.runtime, { agent: "gated", threadId: session.threadId });
  await second.restore();
  const { done } = await second.begin("two");

  const watcher = await reload(client, { agent: "gated", threadId: session.threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer === "before ", () => `the watcher to catch up; ${watcher.story}`);
  started.agents.release(session.threadId);
  await Promise.all([done, watched]);
  assert.deepEqual(watcher.transcript.map(([, text]) => text), ["one", "You said: one", "two", "before after"]);
  assert.equal(new Set(watcher.messages.map((message) => message.id)).size, 4);
  assert.deepEqual(watcher.errors, []);
});

forEach(clients, "a thread whose run failed with an open message can be restored", async (client) => {
  const session = await client.open(started.runtime, { agent: "fails" });
  await session.say("hello");
  assert.equal(session.types.at(-1), "RUN_ERROR");

  const reloaded = await reload(client, { agent: "fails", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "This will go "]]);
  assert.equal(reloaded.types.at(-1), "RUN_ERROR");
  assertOnlyTheAgentsError(reloaded);
});

forEach(clients, "a thread that went on after a failed run can be restored", async (client) => {
  const session = await client.open(started.runtime, { agent: "fails" });
  await session.say("hello");
  await session.say("please");
  assert.equal(session.answer, "Fine now.");

  const reloaded = await reload(client, { agent: "fails", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [
    ["user", "hello"],
    ["assistant", "This will go "],
    ["user", "please"],
    ["assistant", "Fine now."],
  ]);
  assertOnlyTheAgentsError(reloaded);
});

/** The replayed failure itself may be reported, but nothing about the order or shape of the events. */
function assertOnlyTheAgentsError({ errors }) {
  assert.deepEqual(errors.filter(({ code }) => code !== "MODEL_ERROR"), []);
}
