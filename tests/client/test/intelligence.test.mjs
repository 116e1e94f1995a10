// Core in Intelligence mode: what it says goes to the runtime, what it hears comes from the platform.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterEach, test } from "node:test";
import { ɵcreateThreadStore as createThreadStore } from "@copilotkit/core";
import { core } from "../support/clients.mjs";
import { useIntelligence } from "../support/intelligence.mjs";
import { until } from "../support/wait.mjs";

// Repeats what the user says; when that holds "wait", it does so before, until the test releases the thread.
const started = useIntelligence("patient");
// The same, where a token opens one socket only.
const strict = useIntelligence("patient", { tokens: "single-use" });

const open = (options = {}) => core.open(started.runtime, { agent: "default", ...options });
const release = ({ threadId }) => started.agents.release(threadId);

afterEach(async () => {
  for (const { platform } of [started, strict]) {
    assert.deepEqual(await platform.violations(), [], "promises of the runtime that the platform saw broken");
  }
});

/** The types of what was stored of a thread's run, by default its last, once that has ended. */
async function stored({ threadId }, nth = -1) {
  return until(
    async () => {
      const run = (await started.platform.runs(threadId)).at(nth);
      const types = run && (await started.platform.events(run)).map(({ type }) => type);
      return types?.some((type) => type === "RUN_FINISHED" || type === "RUN_ERROR") && types;
    },
    `the end of run ${nth} of ${threadId}`,
  );
}

/** How often runners joined for a thread. */
async function joins({ threadId }) {
  const entries = await started.platform.entries();
  const isJoin = ({ plane, dir, frame }) => plane === "runner" && dir === "in" && frame[3] === "phx_join";
  return entries.filter((entry) => isJoin(entry) && entry.frame[4].thread_id === threadId).length;
}

test("core chats, and goes on with a second turn", async () => {
  const session = await open();
  await session.say("hello");
  assert.equal(session.answer, "You said: hello", session.story);
  await session.say("again");
  assert.deepEqual(session.transcript, [
    ["user", "hello"],
    ["assistant", "You said: hello"],
    ["user", "again"],
    ["assistant", "You said: again"],
  ]);
  assert.deepEqual(session.errors, []);
  const [first, second] = await started.platform.runs(session.threadId);
  const persisted = async (run) => (await started.platform.events(run))[0].input.messages.map(({ content }) => content);
  assert.deepEqual(await persisted(first), ["hello"]);
  assert.deepEqual(await persisted(second), ["again"], "what the platform has is not sent to it again");
});

test("core stops a run, and goes on with the next", async () => {
  const session = await open();
  const { done } = await session.begin("wait for me");
  session.stop();
  await done;
  const types = await stored(session);
  assert.deepEqual(types.slice(-2), ["TEXT_MESSAGE_END", "RUN_FINISHED"]);
  const call = await started.agents.arrived("patient", session.threadId);
  await until(() => call.aborted, "the connection to the agent to be closed");
  await session.say("next");
  assert.equal(session.answer, "You said: next", session.story);
});

test("an application stops a run over HTTP and hears when it is over", async () => {
  const session = await open();
  const { done } = await session.begin("wait for me");
  const url = `${started.runtime.url}/agent/default/stop/${session.threadId}`;
  const response = await fetch(url, { method: "POST" });
  assert.equal(response.status, 200);
  assert.equal((await response.json()).stopped, true);
  const [run] = await started.platform.runs(session.threadId);
  const last = (await started.platform.events(run)).at(-1);
  assert.equal(last.type, "RUN_FINISHED", "when the answer comes, the end is stored");
  await done;
});

test("core restores a thread it has not seen", async () => {
  const author = await open();
  await author.say("hello");
  await author.say("and more");
  const reader = await open({ threadId: author.threadId });
  await reader.restore();
  assert.deepEqual(reader.transcript, author.transcript, reader.story);
});

test("core restores a thread nobody knows as an empty one", async () => {
  const session = await open({ threadId: randomUUID() });
  await session.restore();
  assert.deepEqual(session.transcript, []);
});

test("core joins a run under way and follows it to its end", async () => {
  const author = await open();
  const { done } = await author.begin("wait for us");
  const reader = await open({ threadId: author.threadId });
  const restored = reader.restore();
  await until(() => reader.types.includes("TEXT_MESSAGE_CONTENT"), () => `the first words; ${reader.story}`);
  release(author);
  await Promise.all([done, restored]);
  assert.equal(reader.answer, "You said: wait for us", reader.story);
  assert.deepEqual(reader.transcript, author.transcript);
});

for (const [what, cut] of [
  ["breaks", () => started.platform.cut("runner")],
  ["is closed for a restart", () => started.platform.cut("runner", 1012)],
]) {
  test(`nothing is lost or doubled when the runner's socket ${what}`, async () => {
    const session = await open();
    const { done } = await session.begin("wait for it");
    await cut();
    release(session);
    await done;
    assert.equal(session.answer, "You said: wait for it", session.story);
    await stored(session);
    assert.equal(await joins(session), 2, "the runner comes back once");
    const calls = started.agents.runs.filter(({ input }) => input.threadId === session.threadId);
    assert.equal(calls.length, 1, "the agent is asked once");
  });
}

test("core's own lost socket is replaced and the run goes on", async () => {
  const session = await open();
  const { done } = await session.begin("wait for me");
  await started.platform.cut("client");
  release(session);
  await done;
  assert.equal(session.answer, "You said: wait for me", session.story);
});

test("core asks the runtime for a new token when its own is spent, and goes on where it was", async () => {
  const session = await core.open(strict.runtime, { agent: "default" });
  const { done } = await session.begin("wait for me");
  await strict.platform.cut("client");
  const isRefused = ({ plane, refused }) => plane === "client" && refused === 401;
  await until(async () => (await strict.platform.entries()).some(isRefused), "the spent token to be refused");
  strict.agents.release(session.threadId);
  await done;
  assert.equal(session.answer, "You said: wait for me", session.story);
  assert.deepEqual(session.errors, []);
});

test("a busy thread refuses a second run", async () => {
  const author = await open();
  const { done } = await author.begin("wait for me");
  const other = await open({ threadId: author.threadId });
  await other.say("me too");
  assert.match(JSON.stringify(other.errors), /locked/, other.story);
  release(author);
  await done;
  assert.equal(author.answer, "You said: wait for me", author.story);
});

/** Core's thread list, as `useThreads` uses it, with what the platform tells of changes. */
async function threadList() {
  const info = await (await fetch(`${started.runtime.url}/info`)).json();
  const store = createThreadStore({ fetch: (...args) => fetch(...args) });
  store.start();
  store.setContext({
    runtimeUrl: started.runtime.url,
    wsUrl: info.intelligence.wsUrl,
    headers: {},
    agentId: "default",
  });
  await until(() => !store.getState().isLoading, "the list of threads");
  const row = (id) => store.getState().threads.find((thread) => thread.id === id);
  return { store, row, sees: (id, holds, what) => until(() => holds(row(id)), () => `${what}: ${JSON.stringify(row(id))}`) };
}

/** How many lists listen to changes. */
async function listeners() {
  const entries = await started.platform.entries();
  const isJoin = ({ plane, dir, frame }) => plane === "client" && dir === "in" && frame[3] === "phx_join";
  return entries.filter((entry) => isJoin(entry) && entry.frame[2].startsWith("user_meta:")).length;
}

test("core's thread list follows what happens elsewhere", async () => {
  const before = await listeners();
  const [here, there] = [await threadList(), await threadList()];
  await until(async () => (await listeners()) === before + 2, "both lists to listen");
  const session = await open();
  const id = session.threadId;
  await session.say("hello");
  await there.sees(id, (thread) => thread?.lastRunAt, "a new thread with its last run");
  await here.sees(id, (thread) => thread?.lastRunAt, "a new thread with its last run");

  await here.store.renameThread(id, "A name of my own");
  await there.sees(id, (thread) => thread?.name === "A name of my own", "the new name");
  await here.store.archiveThread(id);
  await there.sees(id, (thread) => !thread, "the archived thread to be gone");
  await here.store.unarchiveThread(id);
  await there.sees(id, (thread) => thread?.archived === false, "the thread to be back");
  await here.store.deleteThread(id);
  await there.sees(id, (thread) => !thread, "the deleted thread to be gone");
  assert.equal(here.row(id), undefined);

  assert.equal(here.store.getState().error, null);
  here.store.stop();
  there.store.stop();
});
