// What an unmodified client shows when it asks for more than it may: 429 with a body in the shape of a RUN_ERROR.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { startAgents } from "../support/agents.mjs";
import { agUiClients, clients, cores } from "../support/clients.mjs";
import { forEachOwn } from "../support/harness.mjs";
import { agentSections, external, install } from "../support/runtime.mjs";

const started = {};

before(async () => {
  if (external) return;
  started.agents = await startAgents(0);
  started.place = install(`${agentSections(started.agents).join("\n")}\n[limits]\nconcurrent_runs = 1\nwatchers_per_thread = 1\n`);
  started.runtime = await started.place.start();
});

after(async () => {
  await started.runtime?.stop();
  started.place?.remove();
  await started.agents?.close();
});

forEachOwn(clients, "a run too many is refused visibly, and may be tried again", async (client) => {
  const first = await client.open(started.runtime, { agent: "gated" });
  const { done } = await first.begin("hello");

  const second = await client.open(started.runtime, { agent: "text" });
  await second.say("me too");
  assert.ok(second.errors.length > 0);
  for (const { message } of second.errors) {
    assert.match(message, /^HTTP 429: /);
    const told = JSON.parse(message.slice("HTTP 429: ".length));
    assert.equal(told.type, "RUN_ERROR");
    assert.equal(told.code, "TOO_MANY_RUNS");
    assert.match(told.message, /try again in 1 second$/);
  }
  assert.equal(second.agent.isRunning, false);
  assert.deepEqual(second.transcript, [["user", "me too"]], "what was said is not lost");

  started.agents.release(first.threadId);
  await done;
  assert.deepEqual(first.errors, []);
  const before = second.errors.length;
  await second.say("now me");
  assert.equal(second.answer, "You said: now me");
  assert.equal(second.errors.length, before);
});

forEachOwn(cores, "core hands out the status, the code and the message of a refusal", async (client) => {
  const first = await client.open(started.runtime, { agent: "gated" });
  const { done } = await first.begin("hello");
  const second = await client.open(started.runtime, { agent: "text" });
  const reported = [];
  second.core.subscribe({
    onError: ({ error, code }) => void reported.push([code, error.status, error.payload?.code, error.payload?.retryAfter]),
  });
  await second.say("me too");
  assert.deepEqual(reported, [
    ["agent_run_failed_event", 429, "TOO_MANY_RUNS", 1],
    ["agent_run_failed", 429, "TOO_MANY_RUNS", 1],
  ]);
  started.agents.release(first.threadId);
  await done;
});

forEachOwn([...cores, ...agUiClients.slice(1)], "a watcher too many is refused visibly", async (client) => {
  const first = await client.open(started.runtime, { agent: "gated" });
  const { done } = await first.begin("hello");
  const options = { agent: "gated", threadId: first.threadId };
  const [watcher, late] = [await client.open(started.runtime, options), await client.open(started.runtime, options)];
  const watching = watcher.restore();
  while (!watcher.events.length) await new Promise((resolve) => setTimeout(resolve, 10));
  await late.restore();
  assert.ok(late.errors.length > 0);
  for (const { message } of late.errors) assert.match(message, /^HTTP 429: .*TOO_MANY_WATCHERS/);
  started.agents.release(first.threadId);
  await Promise.all([done, watching]);
  assert.equal(watcher.answer, "before after");
});
