// A client that names the last event it saw gets what follows, exactly once, however often it is cut off.
//
// DISCONNECTS sets how often that happens, DISCONNECT_SEED repeats the choices of an earlier run.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { AGENT, Findings, FollowedThread } from "../support/followed-thread.mjs";
import { ownTest } from "../support/harness.mjs";
import { startPlannedAgent } from "../support/planned-agent.mjs";
import { makeMessage, makePlan } from "../support/plans.mjs";
import { seeded, seedOf } from "../support/random.mjs";
import { agentSection, external, install } from "../support/runtime.mjs";
import { inputOf, readEvents } from "../support/sse.mjs";

const DISCONNECTS = Number(process.env.DISCONNECTS ?? 10_000);
const THREADS_AT_ONCE = 12;
const LIVE_FOLLOWERS = 4;
const LATE_FOLLOWERS = 3;

const started = {};

before(async () => {
  if (external) return;
  started.agent = await startPlannedAgent();
  started.place = install(agentSection(AGENT, started.agent.url));
  started.runtime = await started.place.start();
});
after(async () => {
  await started.agent?.close();
  await started.runtime?.stop();
  started.place?.remove();
});

ownTest("clients that are cut off and go on see every event once", { timeout: Infinity }, async (t) => {
  const seed = seedOf("DISCONNECT_SEED");
  t.diagnostic(`DISCONNECT_SEED=${seed}`);
  const random = seeded(seed);
  const findings = new Findings();
  const counts = { disconnects: 0, events: 0, threads: 0 };
  const work = async () => {
    while (counts.disconnects < DISCONNECTS) await followOneThread(random.fork(), counts, findings);
  };
  await Promise.all(Array.from({ length: THREADS_AT_ONCE }, work));
  t.diagnostic(
    `${counts.disconnects} disconnects, ${counts.threads} threads, ${counts.events} events received, ` +
      `${findings.count("lost")} lost, ${findings.count("doubled")} doubled, ${findings.count("wrong")} otherwise wrong`,
  );
  assert.equal(findings.list.length, 0, `DISCONNECT_SEED=${seed}: ${findings}`);
});

/** Three runs on a thread, with followers that hang up all the time: while they go on, and when they are over. */
async function followOneThread(random, counts, findings) {
  const thread = new FollowedThread(`thread-${random.between(0, 2 ** 48)}`, started.agent, random);
  const attachments = [];
  let over = false;
  const talk = async () => {
    for (let n = 0; n < 3; n++) {
      const runId = thread.nextRunId();
      const plan = { runId, ...makePlan(random, { threadId: thread.id, runId, size: random.between(20, 120) }) };
      await thread.run(started.runtime, makeMessage(random, `${runId}-message`, attachments), plan).done;
    }
    over = true;
  };
  const follow = async (follower) => {
    for (;;) {
      const last = over;
      const hangUp = random.chance(0.8) ? { events: random.between(1, 6) } : { ms: random.between(0, 20) };
      const how = await follower.follow(started.runtime, hangUp);
      if (how === "left") counts.disconnects += 1;
      else if (how !== "end") findings.add("wrong", thread.id, `a connection ended with «${how}»`);
      // An end between two runs means there is nothing to follow for the moment.
      if (how === "end" && !over) await new Promise((resolve) => setTimeout(resolve, random.between(0, 20)));
      if (how !== "left" && last) return;
    }
  };
  const followers = (count) => Array.from({ length: count }, () => follow(thread.follower()));
  await Promise.all([talk(), ...followers(LIVE_FOLLOWERS)]);
  await Promise.all(followers(LATE_FOLLOWERS));
  await thread.verify(started.runtime, findings);
  for (const follower of thread.followers) follower.check(thread.kept, findings, { whole: true });
  counts.events += thread.receivedInAll;
  counts.threads += 1;
}

ownTest("an event that is not known leads to everything, one that is last to nothing", async () => {
  const random = seeded(1);
  const thread = new FollowedThread("known-and-unknown", started.agent, random);
  const plan = { runId: "run", ...makePlan(random, { threadId: thread.id, runId: "run", size: 40, hurry: true }) };
  await thread.run(started.runtime, makeMessage(random, "message", []), plan).done;
  const connect = async (lastSeenEventId) => {
    const reader = readEvents(`${started.runtime.url}/agent/${AGENT}/connect`, { ...inputOf(thread.id, "c"), lastSeenEventId });
    assert.equal(await reader.done, "end");
    return reader.frames;
  };
  const all = await connect("");
  assert.ok(all.length > 10);
  for (const unknown of ["nonsense", "0-1", "1.0", "-1", "99999999999999999999-1", `${all.at(-1).id}0`]) {
    assert.deepEqual(await connect(unknown), all, unknown);
  }
  assert.deepEqual(await connect(all.at(-1).id), []);
  assert.deepEqual(await connect(all.at(-3).id), all.slice(-2));
});
