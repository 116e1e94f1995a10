// What the operator does meanwhile, phase by phase.

import { setTimeout as sleep } from "node:timers/promises";

/** So often in each phase, evenly spread. */
const BACKUPS = 3;
const ROLLS = 3;
const KILLS = 6;

/** The phases of a soak of `ms` milliseconds. */
export function phases(ms) {
  const part = (name, share, course) => ({ name, ms: share * ms, course });
  return [
    // One process all along, so that it is seen whether its memory stays flat.
    part("one process", 0.5, (soak, time) => spread(BACKUPS, time, () => soak.backup())),
    part("rolling restarts", 0.15, (soak, time) => spread(ROLLS, time, () => soak.fleet.roll())),
    part("two processes, one of them killed", 0.2, async (soak, time) => {
      await soak.fleet.startSecond();
      soak.tally.did("second processes");
      await Promise.all([
        spread(KILLS, time, () => soak.fleet.kill(soak.random)),
        spread(1, time, () => soak.backup()),
      ]);
      await soak.fleet.dismissSecond();
    }),
    part("one process, killed", 0.15, (soak, time) => spread(KILLS, time, () => soak.fleet.kill(soak.random))),
  ];
}

/** Does something `times` times within `ms`, and returns when the time is over. */
async function spread(times, ms, work) {
  const start = performance.now();
  const at = (nth) => sleep(Math.max(0, start + (ms * nth) / times - performance.now()));
  for (let nth = 0; nth < times; nth += 1) {
    await at(nth + 0.5);
    await work();
  }
  await at(times);
}

/** Runs the phases one after the other under load, then the checks; `all`: with a look whether every kind of fault was there. */
export async function runPhases(soak, plan, { all }) {
  const [{ ms: warm }] = plan;
  const load = soak.load();
  const watch = setInterval(() => soak.fleet.look({ metrics: true }), 1000);
  const operate = async () => {
    for (const { name, ms, course } of plan) {
      soak.phase = name;
      await course(soak, ms);
    }
    soak.over = true;
    await load;
    soak.phase = "checks";
    // The system's allocator has a pool for each thread, which keeps as much as that thread ever needed at once: it takes
    // minutes until each of them has met the largest requests.
    await soak.checkEverything({ warmUp: warm / 2, all });
  };
  // A load that fails before its time is a fault of the soak itself.
  await Promise.race([operate(), load.then(() => new Promise(() => {}))]).finally(() => clearInterval(watch));
  soak.phase = "over";
}
