// 30 minutes of mixed load with faults, in which nothing may be lost, get stuck or grow.
//
// Usage: node run.mjs [--minutes 30] [--seed N] [--binary PATH] [--talkers 16] [--output FILE]

import { existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { seeded, seedOf } from "../../tests/client/support/random.mjs";
import { phases, runPhases } from "./phases.mjs";
import { markdown, progress, summary } from "./report.mjs";
import { Soak } from "./soak.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string" },
    binary: { type: "string", default: fileURLToPath(new URL("../../target/release/copilotkit-runtime", import.meta.url)) },
    talkers: { type: "string", default: "16" },
    output: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? seedOf("SOAK_SEED"));
process.env.COPILOTKIT_RUNTIME_BIN = resolve(values.binary);
if (!(minutes > 0) || !existsSync(process.env.COPILOTKIT_RUNTIME_BIN)) throw new Error("usage: node run.mjs [--minutes 30] [--seed N] [--binary PATH]");

const soak = new Soak({ random: seeded(seed), talkers: Number(values.talkers) });
const plan = phases(minutes * 60_000);
console.log(`seed ${seed}; ${plan.map(({ name, ms }) => `${name} ${Math.round(ms / 1000)} s`).join(", ")}`);
try {
  await soak.start();
  const show = progress(soak, (line) => console.log(line));
  await runPhases(soak, plan, { all: minutes >= 3 });
  show.stop();
  const result = summary(soak, { seed, minutes, plan, used: show.used() });
  if (values.output) writeFileSync(values.output, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`\n${markdown(result)}`);
  const { findings } = soak.tally;
  console.log(findings.list.length ? String(findings) : "every promise was kept");
  process.exitCode = findings.list.length ? 1 : 0;
} finally {
  await soak.close();
}
process.exit();
