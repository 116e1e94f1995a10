import assert from "node:assert/strict";
import { ɵcreateThreadStore as createThreadStore } from "@copilotkit/core";
import { clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";
import { until } from "../support/wait.mjs";

const started = useRuntime();

async function json(path) {
  const response = await fetch(started.runtime.url + path);
  assert.equal(response.status, 200);
  return response.json();
}

forEach(cores, "core's thread list shows the thread after a run", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("hello");

  const store = createThreadStore({ fetch: session.core.ɵruntimeFetch });
  store.start();
  store.setContext({ runtimeUrl: session.core.runtimeUrl, headers: {}, agentId: "text" });
  const state = await until(() => {
    const current = store.getState();
    return (current.threads.length > 0 || current.error) && current;
  }, "the list of threads");
  store.stop();

  assert.equal(state.error, null);
  const thread = state.threads.find(({ id }) => id === session.threadId);
  assert.ok(thread, `thread missing among ${state.threads.map(({ id }) => id)}`);
  assert.equal(thread.agentId, "text");
  assert.equal(thread.archived, false);
  assert.ok(Date.parse(thread.createdAt) <= Date.parse(thread.updatedAt));
});

forEach(clients, "the list is per agent, newest first", async (client) => {
  const older = await client.open(started.runtime, { agent: "text" });
  await older.say("one");
  const newer = await client.open(started.runtime, { agent: "text" });
  await newer.say("two");
  const other = await client.open(started.runtime, { agent: "state" });
  await other.say("three");

  const ids = (await json("/threads?agentId=text")).threads.map((thread) => thread.id);
  assert.ok(ids.indexOf(newer.threadId) >= 0);
  assert.ok(ids.indexOf(newer.threadId) < ids.indexOf(older.threadId));
  assert.equal(ids.includes(other.threadId), false);
});

forEach(clients, "messages and state of a thread can be read without connecting", async (client) => {
  const session = await client.open(started.runtime, { agent: "state" });
  await session.say("count");
  const path = `/threads/${encodeURIComponent(session.threadId)}`;
  const { messages } = await json(`${path}/messages`);
  assert.deepEqual(messages.map(({ role, content }) => [role, content]), session.transcript);
  assert.deepEqual((await json(`${path}/state`)).state, session.state);
});

forEach(clients, "a thread id may be any text", async (client) => {
  const threadId = `odd / id ? & % ü ${client.name}`;
  const session = await client.open(started.runtime, { agent: "text", threadId });
  await session.say("hello");
  const reloaded = await client.open(started.runtime, { agent: "text", threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, session.transcript);
  assert.equal((await json(`/threads/${encodeURIComponent(threadId)}/messages`)).messages.length, 2);
});
