// What was done, how often, and how long some of it took.

import { Findings } from "../../tests/client/support/followed-thread.mjs";

export class Tally {
  findings = new Findings();
  counts = new Map();
  /** From asking a thread on which nothing may run any more until its new run shows an event, in ms. */
  acceptances = [];

  did(what, times = 1) {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  count(what) {
    return this.counts.get(what) ?? 0;
  }

  /** A promise that is broken, and where. */
  broken(kind, where, text) {
    this.findings.add(kind, where, text);
  }
}

export function quantile(values, part) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}
