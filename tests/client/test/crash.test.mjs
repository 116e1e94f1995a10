// Kept before shown: whatever a client has received is there after `kill -9`, at whichever moment it came.
//
// CRASH_KILLS sets how often the runtime is killed, CRASH_SEED repeats the choices of an earlier run.

import assert from "node:assert/strict";
import { crash } from "../support/crash.mjs";
import { ownTest } from "../support/harness.mjs";
import { seeded, seedOf } from "../support/random.mjs";

const kills = Number(process.env.CRASH_KILLS ?? 50);

/** Kills the runtime so many times, and wants to find nothing. */
async function survive(t, options) {
  const seed = seedOf("CRASH_SEED");
  t.diagnostic(`CRASH_SEED=${seed}`);
  const onKill = (course) => {
    if (kills > 100 && course.kills % 50 === 0) process.stdout.write(`${course}\n`);
  };
  const course = await crash({ random: seeded(seed), database: "copilotkit.db", onKill, ...options });
  t.diagnostic(String(course));
  assert.ok(course.interrupted >= options.kills / 2, "too few runs were broken off to prove anything");
  assert.equal(course.findings.list.length, 0, `CRASH_SEED=${seed}: ${course.findings}`);
}

ownTest("nothing anybody saw is lost when the runtime is killed, and no thread is stuck", { timeout: Infinity }, (t) =>
  survive(t, { kills }),
);

ownTest("nor when another process on the same database lives on", { timeout: Infinity }, (t) =>
  survive(t, { kills: Math.ceil(kills / 5), witness: true }),
);

ownTest("a runner that keeps nothing would be found out", async () => {
  const { findings } = await crash({ kills: 3, random: seeded(1), database: "memory" });
  assert.ok(findings.count("lost") > 0, String(findings));
});
