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

/** Core's thread list, as `useThreads` uses it, once it has loaded. */
async function threadList(session) {
  const store = createThreadStore({ fetch: session.core.ɵruntimeFetch });
  store.start();
  store.setContext({ runtimeUrl: session.core.runtimeUrl, headers: {}, agentId: "text" });
  const loaded = async (holds, what) => {
    const state = await until(() => {
      const current = store.getState();
      return ((!current.isLoading && holds(current.threads)) || current.error) && current;
    }, what);
    assert.equal(state.error, null);
    return state.threads;
  };
  await loaded((threads) => threads.some(({ id }) => id === session.threadId), "the list of threads");
  return { store, loaded };
}

forEach(cores, "core's thread list shows the thread, named after what was said", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("hello there");
  const { store } = await threadList(session);
  const thread = store.getState().threads.find(({ id }) => id === session.threadId);
  store.stop();
  assert.equal(thread.name, "hello there");
  assert.equal(thread.agentId, "text");
  assert.equal(thread.archived, false);
  assert.ok(Date.parse(thread.createdAt) <= Date.parse(thread.updatedAt));
});

forEach(cores, "core's thread list renames, archives, restores and deletes", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("hello");
  const id = session.threadId;
  const { store, loaded } = await threadList(session);
  // What the server says, not what the list shows before it has asked.
  const afresh = async (holds, what) => {
    store.refresh();
    return (await loaded((threads) => holds(threads.find((thread) => thread.id === id)), what)).find(
      (thread) => thread.id === id,
    );
  };

  await store.renameThread(id, "A name of my own");
  assert.equal((await afresh((thread) => thread, "the renamed thread")).name, "A name of my own");
  await store.archiveThread(id);
  await afresh((thread) => !thread, "a list without the archived thread");
  await store.unarchiveThread(id);
  assert.equal((await afresh((thread) => thread, "the restored thread")).archived, false);
  await store.deleteThread(id);
  await afresh((thread) => !thread, "a list without the deleted thread");
  await assert.rejects(store.deleteThread(id), /404/);
  store.stop();

  assert.deepEqual((await json(`/threads/${encodeURIComponent(id)}/messages`)).messages, []);
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
