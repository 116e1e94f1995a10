// What the kernel knows of a process, and whether its memory stays flat.

import { readFileSync, readdirSync } from "node:fs";
import { quantile } from "./tally.mjs";

const MIB = 1024 * 1024;

/** `{ rss, threads, files, ticks }` of a process; nothing if it is gone. */
export function sample(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
    const [, ...times] = /\) \S+ (?:\S+ ){10}(\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
    return {
      rss: field("VmRSS") * 1024,
      threads: field("Threads"),
      files: readdirSync(`/proc/${pid}/fd`).length,
      ticks: Number(times[0]) + Number(times[1]),
    };
  } catch {
    return undefined;
  }
}

/** `{ busy, all }` of the machine so far, and what of it we used ourselves, in ticks of 10 ms. */
export function machine(lives) {
  const [, ...ticks] = readFileSync("/proc/stat", "utf8").split("\n")[0].split(/\s+/);
  const all = ticks.slice(0, 8).reduce((sum, each) => sum + Number(each), 0);
  const { user, system } = process.cpuUsage();
  const ours = lives.reduce((sum, { samples }) => sum + (samples.at(-1)?.ticks ?? 0), (user + system) / 10_000);
  return { busy: all - Number(ticks[3]) - Number(ticks[4]), all, ours };
}

/**
 * The medians of the thirds of a life's samples, without its first `warmUp` ms. `flat`: the last is above the first by no
 * more than 10 % and 2 MiB.
 */
export function memory(life, warmUp) {
  const values = life.samples.filter(({ at }) => at - life.since > warmUp).map(({ rss }) => rss);
  if (values.length < 9) return undefined;
  const length = Math.floor(values.length / 3);
  const thirds = [0, 1, 2].map((nth) => quantile(values.slice(nth * length, (nth + 1) * length), 0.5));
  return { thirds, flat: thirds[2] <= thirds[0] * 1.1 + 2 * MIB };
}

/** The median of each minute of a life's samples. */
export function memoryByMinute(life) {
  const minutes = [];
  for (const { at, rss } of life.samples) (minutes[Math.floor((at - life.since) / 60_000)] ??= []).push(rss);
  return minutes.map((values) => quantile(values, 0.5));
}

export const mib = (bytes) => (bytes / MIB).toFixed(1);
