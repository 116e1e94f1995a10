// Two processes on one database: a thread is one thread, whichever of them a client talks to. The times that are promised
// are measured and printed.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach } from "node:test";
import { startAgents } from "../support/agents.mjs";
import { clients, cores } from "../support/clients.mjs";
import { Findings, FollowedThread, INTERRUPTED } from "../support/followed-thread.mjs";
import { forEachOwn, ownTest } from "../support/harness.mjs";
import { startPlannedAgent } from "../support/planned-agent.mjs";
import { makeMessage, makePlan } from "../support/plans.mjs";
import { seeded, seedOf } from "../support/random.mjs";
import { agentSection, agentSections, external, install } from "../support/runtime.mjs";
import { inputOf, readEvents } from "../support/sse.mjs";
import { differences, tell } from "../support/story.mjs";
import { until, within } from "../support/wait.mjs";

const started = {};

before(async () => {
  if (external) return;
  started.agents = await startAgents();
  started.planned = await startPlannedAgent();
  const sections = [...agentSections(started.agents), agentSection("planned", started.planned.url)];
  started.place = install(sections.join("\n"), { database: "shared.db" });
});
// A test may have ended either of them.
beforeEach(async () => {
  if (external) return;
  for (const name of ["a", "b"]) {
    if (!started[name] || started[name].hasEnded()) started[name] = await started.place.start();
  }
});
after(async () => {
  await started.agents?.close();
  await started.planned?.close();
  await Promise.all([started.a?.stop(), started.b?.stop()]);
  started.place?.remove();
});

const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];

async function say(runtime, agent, threadId, text) {
  const runId = randomUUID();
  const reader = readEvents(
    `${runtime.url}/agent/${agent}/run`,
    inputOf(threadId, runId, [{ id: randomUUID(), role: "user", content: text }]),
  );
  await within(reader.done, `the run of ${text}`);
  return reader.frames.map(({ data }) => JSON.parse(data));
}

async function stop(runtime, agent, threadId, body) {
  const url = `${runtime.url}/agent/${agent}/stop/${encodeURIComponent(threadId)}`;
  const response = await fetch(url, { method: "POST", body: body && JSON.stringify(body) });
  return (await response.json()).stopped;
}

async function json(runtime, path) {
  const response = await fetch(runtime.url + path);
  assert.equal(response.status, 200, path);
  return response.json();
}

forEachOwn(clients, "a thread that is busy in one process is busy in the other", async (client) => {
  const first = await client.open(started.a, { agent: "gated" });
  const { done } = await first.begin("hello");
  const second = await client.open(started.b, { agent: "gated", threadId: first.threadId });
  await second.say("me too");
  assert.deepEqual(second.errors.map(({ code }) => code), ["THREAD_BUSY"]);

  started.agents.release(first.threadId);
  await done;
  assert.deepEqual(first.errors, []);
  const third = await client.open(started.b, { agent: "text", threadId: first.threadId });
  await third.restore();
  assert.deepEqual(third.transcript, [["user", "hello"], ["assistant", "before after"]]);
  await third.say("now me");
  assert.equal(third.answer, "You said: now me");
  assert.deepEqual(third.errors, []);
});

ownTest("of two runs that are asked for at the same moment, one runs", async () => {
  for (let round = 0; round < 20; round++) {
    const threadId = randomUUID();
    const answers = await Promise.all([started.a, started.b].map((runtime) => say(runtime, "text", threadId, "hello")));
    const ends = answers.map((events) => events.at(-1));
    const refused = ends.filter(({ code }) => code === "THREAD_BUSY");
    const finished = ends.filter(({ type }) => type === "RUN_FINISHED");
    // One may also have come when the other was over.
    assert.ok(finished.length >= 1, JSON.stringify(ends));
    assert.equal(finished.length + refused.length, 2, JSON.stringify(ends));
    const { messages } = await json(started.a, `/threads/${threadId}/messages`);
    assert.equal(messages.length, 2 * finished.length);
  }
});

forEachOwn(clients, "a client of one process follows a run of the other to its end", async (client) => {
  const session = await client.open(started.a, { agent: "gated" });
  const { done } = await session.begin("hello");
  const watcher = await client.open(started.b, { agent: "gated", threadId: session.threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer === "before ", () => `the watcher to catch up; ${watcher.story}`);
  assert.equal(watcher.agent.isRunning, true);

  started.agents.release(session.threadId);
  await Promise.all([done, watched]);
  assert.deepEqual(watcher.transcript, [["user", "hello"], ["assistant", "before after"]]);
  assert.deepEqual(watcher.transcript, session.transcript);
  assert.deepEqual(watcher.errors, []);
});

ownTest("what the other process says comes as it was said, and soon", async (t) => {
  const random = seeded(seedOf("PROCESSES_SEED"));
  const lags = [];
  const follow = async () => {
    const threadId = randomUUID();
    const runId = randomUUID();
    const plan = makePlan(random.fork(), { threadId, runId, size: 200 });
    started.planned.plans.set(runId, plan);
    const at = { a: [], b: [] };
    const message = { id: randomUUID(), role: "user", content: "hello" };
    const running = readEvents(`${started.a.url}/agent/planned/run`, inputOf(threadId, runId, [message]), {
      onFrame: () => void at.a.push(performance.now()),
    });
    await until(() => at.a.length > 0, "the run to begin");
    const watching = readEvents(`${started.b.url}/agent/planned/connect`, inputOf(threadId, "watch"), {
      onFrame: () => void at.b.push(performance.now()),
    });
    await within(Promise.all([running.done, watching.done]), "both streams to end");
    const [told, said] = [watching, running].map(({ frames }) => tell(frames.map(({ data }) => data)));
    assert.deepEqual(told.problems, []);
    assert.deepEqual(differences(told.runs[0], said.runs[0]), []);
    // The first ones were there before anybody watched, and the last may come shortened, as the run is over.
    const same = watching.frames.findIndex(({ data }, event) => data !== running.frames[event]?.data);
    lags.push(...at.b.slice(20, same < 0 ? undefined : same).map((time, event) => time - at.a[event + 20]));
  };
  await Promise.all(Array.from({ length: 4 }, follow));
  lags.sort((x, y) => x - y);
  const median = quantile(lags, 0.5);
  t.diagnostic(`behind the other process by ${median.toFixed(1)} ms (median), ${quantile(lags, 0.99).toFixed(1)} ms (p99)`);
  assert.ok(median < 5_000, `${median} ms behind`);
});

ownTest("a client can go from one process to the other behind the last event it saw", async () => {
  const random = seeded(seedOf("PROCESSES_SEED"));
  const findings = new Findings();
  const thread = new FollowedThread(randomUUID(), started.planned, random);
  const follower = thread.follower();
  for (let n = 0; n < 3; n++) {
    const runId = thread.nextRunId();
    const plan = { runId, ...makePlan(random, { threadId: thread.id, runId, size: 120 }) };
    const runtime = random.pick([started.a, started.b]);
    const run = thread.run(runtime, makeMessage(random, `${runId}-message`, []), plan);
    while (!run.over) await follower.follow(random.pick([started.a, started.b]), { events: random.between(1, 10) });
  }
  await thread.verify(random.pick([started.a, started.b]), findings);
  await follower.follow(started.b);
  follower.check(thread.kept, findings, { whole: true });
  assert.equal(findings.list.length, 0, String(findings));
});

forEachOwn(cores, "a stop in one process ends the run in the other", async (client) => {
  const session = await client.open(started.a, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  const run = await started.agents.arrived("slow", session.threadId);
  assert.equal(await stop(started.b, "slow", session.threadId, { runId: "another-run" }), false);
  assert.equal(await stop(started.b, "slow", session.threadId, { runId: run.input.runId }), true);
  await within(done, () => `the stopped run to end; ${session.story}`);
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(session.errors, []);
  await until(() => run.aborted, "the agent's connection to be closed");

  assert.equal(await stop(started.b, "slow", session.threadId), false);
  await session.say("quick");
  assert.equal(session.answer, "Quick answer.");
});

ownTest("a stop in the other process reaches the agent soon", async (t) => {
  const times = [];
  for (let round = 0; round < 10; round++) {
    const threadId = randomUUID();
    const answer = say(started.a, "slow", threadId, "tell me a long story");
    const run = await started.agents.arrived("slow", threadId);
    const asked = performance.now();
    // The agent may have been called before the other process can see the run.
    await until(() => stop(started.b, "slow", threadId), "the run to be there");
    await until(() => run.aborted, "the agent's connection to be closed");
    times.push(performance.now() - asked);
    assert.equal((await answer).at(-1).type, "RUN_FINISHED");
  }
  times.sort((x, y) => x - y);
  t.diagnostic(`a stop took ${quantile(times, 0.5).toFixed(0)} ms (median), ${times.at(-1).toFixed(0)} ms (slowest of ${times.length})`);
});

ownTest("a thread of one process is in the lists of the other from its first run on", async () => {
  const threadId = randomUUID();
  const answer = say(started.a, "gated", threadId, "hello");
  await started.agents.arrived("gated", threadId);
  const listed = async (runtime) => (await json(runtime, "/threads?agentId=gated")).threads.some(({ id }) => id === threadId);
  assert.equal(await listed(started.b), true, "before its first run is over");
  started.agents.release(threadId);
  await answer;
  const path = `/threads/${threadId}/messages`;
  assert.deepEqual(await json(started.b, path), await json(started.a, path));
});

forEachOwn(clients, "when a process is killed, the other shows the part of the answer there is, and goes on", async (client) => {
  const threadId = randomUUID();
  const broken = say(started.a, "gated", threadId, "hello");
  await started.agents.arrived("gated", threadId);
  const watcher = await client.open(started.b, { agent: "gated", threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer === "before ", () => `the watcher to catch up; ${watcher.story}`);

  await started.a.kill();
  await broken;
  await within(watched, () => `the watcher to be told; ${watcher.story}`);
  assert.deepEqual(watcher.types.slice(-2), ["TEXT_MESSAGE_END", "RUN_ERROR"]);
  assert.equal(watcher.events.at(-1).code, INTERRUPTED);

  const reloaded = await client.open(started.b, { agent: "text", threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "before "]]);
  await reloaded.say("and now?");
  assert.equal(reloaded.answer, "You said: and now?");
});

ownTest("when a process is killed, the other takes runs on its threads within the time of a lease", async (t) => {
  const threads = Array.from({ length: 8 }, () => randomUUID());
  const own = say(started.b, "gated", "a-run-of-b", "hello");
  const broken = threads.map((threadId) => say(started.a, "gated", threadId, "hello"));
  await Promise.all([...threads, "a-run-of-b"].map((threadId) => started.agents.arrived("gated", threadId)));
  await started.a.kill();
  const killed = performance.now();
  const times = threads.map(async (threadId) => {
    await until(
      async () => (await say(started.b, "text", threadId, "and now?")).at(-1).type === "RUN_FINISHED",
      `a run on ${threadId}`,
    );
    return performance.now() - killed;
  });
  t.diagnostic(`a run of another process's thread, ${Math.ceil(Math.max(...(await Promise.all(times))))} ms after its death`);
  await Promise.allSettled(broken);

  // And what was its own is not disturbed.
  started.agents.release("a-run-of-b");
  assert.equal((await own).at(-1).type, "RUN_FINISHED");
  for (const threadId of threads) {
    const { messages } = await json(started.b, `/threads/${threadId}/messages`);
    assert.deepEqual(messages.map(({ role }) => role).filter((role) => role === "user"), ["user", "user"]);
  }
});

forEachOwn(cores, "when a process is told to end, its runs end properly and the other goes on with their threads", async (client) => {
  const session = await client.open(started.a, { agent: "slow" });
  const { done } = await session.begin("tell me a long story");
  const watcher = await client.open(started.b, { agent: "slow", threadId: session.threadId });
  const watched = watcher.restore();
  await until(() => watcher.answer.startsWith("tick 0"), () => `the watcher to catch up; ${watcher.story}`);

  const { code } = await started.a.stop();
  assert.equal(code, 0, started.a.output());
  await within(Promise.all([done, watched]), "both streams to end");
  for (const { events } of [session, watcher]) assert.equal(events.at(-1).code, "RUNTIME_SHUTDOWN");
  assert.deepEqual(watcher.transcript, session.transcript);

  await watcher.say("quick");
  assert.equal(watcher.answer, "Quick answer.");
});

ownTest("a process that hangs loses its runs to the other, and finds out when it goes on", async (t) => {
  const threadId = randomUUID();
  const broken = say(started.a, "gated", threadId, "hello");
  await started.agents.arrived("gated", threadId);
  const shown = readEvents(`${started.b.url}/agent/gated/connect`, inputOf(threadId, "watch"));
  await until(() => shown.frames.some(({ data }) => data.includes("before ")), "the run to be kept");
  process.kill(started.a.pid, "SIGSTOP");
  const stopped = performance.now();
  await until(
    async () => (await say(started.b, "text", threadId, "and now?")).at(-1).type === "RUN_FINISHED",
    "a run of the other process",
  );
  t.diagnostic(`a run of a hanging process's thread, ${Math.ceil(performance.now() - stopped)} ms after it hung`);
  await within(shown.done, "the watcher to be told");
  assert.equal(JSON.parse(shown.frames.at(-1).data).code, INTERRUPTED);

  process.kill(started.a.pid, "SIGCONT");
  started.agents.release(threadId);
  const last = (await broken).at(-1);
  assert.equal(last.type, "RUN_ERROR");
  assert.equal((await say(started.a, "text", threadId, "and you?")).at(-1).type, "RUN_FINISHED");
  for (const runtime of [started.a, started.b]) {
    const { messages } = await json(runtime, `/threads/${threadId}/messages`);
    assert.deepEqual(
      messages.map(({ content }) => content),
      ["hello", "before ", "and now?", "You said: and now?", "and you?", "You said: and you?"],
    );
  }
});

ownTest("processes that start on a new file at the same moment both serve", async () => {
  const place = install(agentSection("planned", started.planned.url), { database: "new.db" });
  try {
    const runtimes = await Promise.all([1, 2, 3].map(() => place.start()));
    const random = seeded(seedOf("PROCESSES_SEED"));
    const findings = new Findings();
    // And they do not get into each other's way.
    const talk = async (runtime) => {
      const thread = new FollowedThread(randomUUID(), started.planned, random);
      for (let n = 0; n < 5; n++) {
        const runId = thread.nextRunId();
        const plan = { runId, ...makePlan(random, { threadId: thread.id, runId, size: 60, hurry: true }) };
        await thread.run(runtime, makeMessage(random, `${runId}-message`, []), plan).done;
      }
      await thread.verify(random.pick(runtimes), findings);
    };
    await Promise.all(runtimes.flatMap((runtime) => [runtime, runtime, runtime, runtime]).map(talk));
    assert.equal(findings.list.length, 0, String(findings));
    await Promise.all(runtimes.map((runtime) => runtime.stop()));
  } finally {
    place.remove();
  }
});
