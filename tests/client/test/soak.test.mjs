// The soak of bench/soak, for some seconds: so that it can be relied on when somebody needs the long one.
//
// SOAK_SECONDS sets how long, SOAK_SEED repeats the choices of an earlier run.

import assert from "node:assert/strict";
import { phases, runPhases } from "../../../bench/soak/phases.mjs";
import { Soak } from "../../../bench/soak/soak.mjs";
import { ownTest } from "../support/harness.mjs";
import { seeded, seedOf } from "../support/random.mjs";

const seconds = Number(process.env.SOAK_SECONDS ?? 15);

ownTest("mixed load with faults loses nothing, and no thread is stuck", { timeout: Infinity }, async (t) => {
  const seed = seedOf("SOAK_SEED");
  t.diagnostic(`SOAK_SEED=${seed}`);
  const soak = new Soak({ random: seeded(seed), talkers: 6 });
  try {
    await soak.start();
    await runPhases(soak, phases(seconds * 1000), { all: false });
  } finally {
    await soak.close();
  }
  const { tally } = soak;
  assert.ok(tally.count("runs") > 0 && tally.count("kill -9") > 0 && tally.count("rolling restarts") > 0, "too little happened");
  assert.equal(tally.findings.list.length, 0, `SOAK_SEED=${seed}: ${tally.findings}`);
});
