// What people and the records see of a soak.

import { quantile } from "./tally.mjs";
import { machine, memoryByMinute, mib } from "./vitals.mjs";

/**
 * Every ten seconds prints a line and what was found since, and lets the load adapt. `used()` tells how much of the machine was in
 * use under load, in per cent: by runtime, agents and clients, and in all.
 */
export function progress(soak, print) {
  // The checks at the end are no load.
  let end;
  const look = () => ({ at: performance.now(), ...machine(soak.fleet.lives) });
  const start = look();
  let last = start;
  let told = 0;
  const share = (what, from, to) => Math.round((100 * (to[what] - from[what])) / (to.all - from.all));
  const timer = setInterval(() => {
    const now = look();
    if (!soak.over) end = now;
    const { tally, fleet } = soak;
    const vitals = fleet.main.samples.at(-1);
    print(
      [
        `${Math.round((now.at - start.at) / 1000)} s`.padStart(7),
        soak.phase,
        `${tally.count("runs")} runs`,
        `${tally.count("events received by who asked")} events`,
        `${tally.count("checks of a thread")} checks`,
        vitals ? `${mib(vitals.rss)} MiB, ${vitals.files} files, ${vitals.threads} threads` : "just started",
        `log of writes up to ${mib(fleet.largestWal)} MiB`,
        `${share("ours", last, now)} % of the machine, ${share("busy", last, now)} % with others, pauses up to ${Math.round(soak.pause)} ms`,
        `${tally.findings.list.length} findings`,
      ].join(" · "),
    );
    for (const { kind, text } of tally.findings.list.slice(told)) print(`${kind}: ${text.slice(0, 600)}`);
    told = tally.findings.list.length;
    soak.adapt(share("ours", last, now));
    last = now;
  }, 10_000);
  return {
    stop: () => clearInterval(timer),
    used: () => ["ours", "busy"].map((what) => share(what, start, end ?? look())),
  };
}

export function summary(soak, { seed, minutes, plan, used }) {
  const { tally, fleet } = soak;
  const { acceptances, findings } = tally;
  return {
    seed,
    minutes,
    phases: plan.map(({ name, ms }) => ({ name, seconds: Math.round(ms / 1000) })),
    usedPercent: used,
    counts: Object.fromEntries([...tally.counts].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    acceptance: acceptances.length && {
      count: acceptances.length,
      medianMs: quantile(acceptances, 0.5),
      slowestMs: Math.max(...acceptances),
    },
    largestWalBytes: fleet.largestWal,
    processes: fleet.lives.map((life) => ({ ...processOf(life), memoryByMinute: memoryByMinute(life) })),
    findings: findings.list,
  };
}

function processOf({ name, since, until, startedIn, samples, base, rest, memory }) {
  return {
    name,
    seconds: Math.round(((until ?? performance.now()) - since) / 1000),
    startedInMs: Math.round(startedIn),
    largestRss: Math.max(0, ...samples.map(({ rss }) => rss)),
    mostFiles: Math.max(0, ...samples.map(({ files }) => files)),
    mostThreads: Math.max(0, ...samples.map(({ threads }) => threads)),
    filesAtStart: base?.files,
    filesAtRest: rest?.files,
    memory,
  };
}

export function markdown(result) {
  const { counts, processes, findings, acceptance } = result;
  const longest = processes.toSorted((a, b) => b.seconds - a.seconds)[0];
  const last = processes.at(-1);
  const found = (kind) => findings.filter((finding) => finding.kind === kind).length;
  const rows = [
    ["events lost, shown twice, threads stuck, otherwise wrong", ["lost", "doubled", "stuck", "wrong"].map(found).join(", ")],
    [`memory by thirds of the longest life (${longest.seconds} s), MiB`, longest.memory?.thirds.map(mib).join(", ") ?? "too short to tell"],
    ["its memory minute by minute, MiB", longest.memoryByMinute.map((bytes) => Math.round(bytes / 2 ** 20)).join(", ")],
    ["its most memory, MiB; files; threads", `${mib(longest.largestRss)}; ${longest.mostFiles}; ${longest.mostThreads}`],
    ["files of the last process at its start, and at rest", `${last.filesAtStart}, ${last.filesAtRest}`],
    ["largest write-ahead log, MiB", mib(result.largestWalBytes)],
    ["a thread at rest takes a run, median and slowest, ms", acceptance ? `${acceptance.medianMs.toFixed(1)}, ${acceptance.slowestMs.toFixed(0)} of ${acceptance.count}` : ""],
    ["slowest start of a process, ms", Math.max(...processes.map(({ startedInMs }) => startedInMs))],
    ["use of the machine by runtime, agents and clients; in all, %", result.usedPercent.join("; ")],
    ...Object.entries(counts),
  ];
  const head = `Seed ${result.seed}; ${result.phases.map(({ name, seconds }) => `${name} ${seconds} s`).join(", ")}.`;
  return [head, "", "| | |", "|---|---:|", ...rows.map(([what, value]) => `| ${what} | ${value} |`), ""].join("\n");
}
