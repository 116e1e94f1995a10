// A thread from its first run to the last, with all that may happen on it, checked every few runs.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT, FollowedThread } from "../../tests/client/support/followed-thread.mjs";
import { makeMessage, makePlan } from "../../tests/client/support/plans.mjs";
import { within } from "../../tests/client/support/wait.mjs";
import { misconduct, trickling } from "./misconduct.mjs";

/** A thread that has taken no run for so long, though nothing runs on it, is stuck. */
export const STUCK_MS = 10_000;
/** No round of a few runs takes so long. */
const ROUND_MS = 120_000;

export class Conversation {
  broken = false;
  /** Who follows and watches this round. */
  #company = [];

  constructor(soak, user) {
    this.soak = soak;
    this.user = user;
    this.random = soak.random.fork();
    const id = `${user.name}-${randomBytes(6).toString("hex")}`;
    this.thread = new FollowedThread(id, soak.agent, this.random.fork(), user.headers);
    this.long = this.random.chance(0.04);
    this.left = this.long ? this.random.between(30, 100) : this.random.between(2, 10);
  }

  /** A few runs, and a look at what is kept of them. */
  async round() {
    const { soak, thread, random } = this;
    const round = async () => {
      const rounds = random.between(1, this.long ? 8 : 4);
      for (let n = 0; n < rounds && this.left > 0; n += 1, this.left -= 1) {
        if (random.chance(0.5)) this.#company.push(this.#follow());
        if (random.chance(0.2)) this.#company.push(this.#watch());
        const how = await this[random.pick(WAYS)](this.#target());
        await sleep(random.between(0, soak.pause));
        if (how === "cut") break;
      }
      await this.#checkAlone();
    };
    await within(round(), `a round of ${thread.id}`, ROUND_MS).catch((error) => {
      soak.tally.broken(error.message.startsWith("took more") ? "stuck" : "wrong", thread.id, error.stack);
      this.broken = true;
    });
  }

  /** Checks once those who follow and watch have seen the end, as the check goes on following in their name. */
  async #checkAlone() {
    await Promise.all(this.#company.splice(0));
    await this.soak.fleet.calmly(() => this.check());
  }

  /** Holds what is kept against what everybody saw; nothing may run meanwhile. */
  async check() {
    const { soak, thread } = this;
    const interrupted = thread.asked.some(({ over }) => over === "cut");
    const before = soak.tally.findings.list.length;
    await thread.verify(this.#target(), soak.tally.findings);
    this.broken ||= soak.tally.findings.list.length > before;
    soak.tally.did("checks of a thread");
    if (interrupted) {
      soak.tally.did("threads found after a kill");
      await this.accepts();
    }
  }

  /** A new run, at once: the thread must take it. Waits for its end. */
  async accepts() {
    const { soak, thread } = this;
    const since = performance.now();
    for (;;) {
      const run = this.#ask({ size: 5, hurry: true });
      await run.done;
      const [first] = run.reader.frames;
      if (first && JSON.parse(first.data).type === "RUN_STARTED") {
        soak.tally.acceptances.push(run.firstEventAt - since);
        return thread.verify(this.#target(), soak.tally.findings);
      }
      thread.takeBack(run);
      if (performance.now() - since > STUCK_MS) return soak.tally.broken("stuck", thread.id, `takes no run: ${first?.data ?? run.over}`);
      await sleep(20);
    }
  }

  #target() {
    return this.soak.fleet.any(this.random);
  }

  /** Asks for a run that is planned so; `change` makes the plan another. */
  #ask(size, { runtime = this.#target(), change = (plan) => plan, message, onFrame, ...options } = {}) {
    const { thread, soak } = this;
    const runId = thread.nextRunId();
    const plan = change({ runId, ...makePlan(thread.random, { threadId: thread.id, runId, ...size }) }, this.random);
    soak.tally.did("runs");
    const seen = (frame) => {
      soak.tally.did("events received by who asked");
      return onFrame?.(frame);
    };
    const said = message ?? makeMessage(thread.random, `${runId}-message`, soak.attachments);
    if (soak.attachments.length > 8) soak.attachments.shift();
    return thread.run(runtime, said, plan, { ...options, onFrame: seen });
  }

  async #follow() {
    this.soak.tally.did("followers that come and go");
    await this.thread.follow(() => this.#target(), () => this.soak.over);
  }

  async #watch() {
    await sleep(this.random.between(0, 100));
    const slow = this.random.chance(0.1) ? this.random.between(500, 3000) : 0;
    this.soak.tally.did(slow ? "watchers that read slowly" : "watchers from the start");
    await this.thread.watcher().watch(this.#target(), { slow });
  }

  async plain(runtime) {
    return (await this.#ask({ size: this.random.between(5, 60) }, { runtime }).done).over;
  }

  async lengthy(runtime) {
    this.soak.tally.did("runs of hundreds of events");
    return (await this.#ask({ size: this.random.between(300, 900), hurry: this.random.chance(0.5) }, { runtime }).done).over;
  }

  async burst(runtime) {
    if (this.long || !this.random.chance(0.1)) return this.plain(runtime);
    this.soak.tally.did("bursts of 10,000 events");
    const change = (plan) => ({ ...plan, steps: [{ pause: 0, events: plan.steps.flatMap(({ events }) => events) }] });
    return (await this.#ask({ size: 10_000, hurry: true }, { runtime, change }).done).over;
  }

  async attached(runtime) {
    if (this.long) return this.plain(runtime);
    this.soak.tally.did("attachments of 100 KB to 1 MB");
    const id = `${this.thread.id}-attached-${this.left}`;
    const value = randomBytes(this.random.between(75_000, 750_000)).toString("base64");
    const content = [{ type: "document", source: { type: "data", value, mimeType: "application/octet-stream" } }];
    return (await this.#ask({ size: 20 }, { runtime, message: { id, role: "user", content } }).done).over;
  }

  async trickle(runtime) {
    this.soak.tally.did("agents that trickle");
    return (await this.#ask({ size: 25 }, { runtime, change: trickling }).done).over;
  }

  async misbehaves(runtime) {
    const name = this.random.pick(Object.keys(misconduct));
    this.soak.tally.did(`an agent ${name}`);
    return (await this.#ask({ size: this.random.between(10, 60) }, { runtime, change: misconduct[name] }).done).over;
  }

  async readSlowly(runtime) {
    this.soak.tally.did("clients that read slowly");
    return (await this.#ask({ size: 400, hurry: true }, { runtime, slow: this.random.between(500, 2000) }).done).over;
  }

  /** The client hangs up in the middle; the run goes on without it. */
  async leave(runtime) {
    this.soak.tally.did("clients that leave in the middle of a run");
    let left = this.random.between(1, 30);
    const run = this.#ask({ size: this.random.between(30, 120) }, { runtime, onFrame: () => (left -= 1) > 0 });
    const how = (await run.done).over;
    if (how === "left") await this.#checkAlone();
    return how;
  }

  async stop(runtime) {
    const run = this.#ask({ size: 120 }, { runtime });
    await Promise.race([sleep(this.random.between(0, 200)), run.done]);
    run.stopped = true;
    const url = `${this.#target().url}/agent/${AGENT}/stop/${encodeURIComponent(this.thread.id)}`;
    const answer = await fetch(url, { method: "POST", headers: this.user.headers }).then((response) => response.json(), () => ({}));
    if (answer.stopped) this.soak.tally.did("runs stopped");
    return (await run.done).over;
  }

  async refused(runtime) {
    return this.#second(runtime, undefined, "runs refused as busy");
  }

  async enqueued(runtime) {
    return this.#second(runtime, "enqueue", "runs that waited for another");
  }

  async interrupted(runtime) {
    return this.#second(runtime, "interrupt", "runs that interrupted another");
  }

  /** A second run while the first is under way. */
  async #second(runtime, whenBusy, what) {
    const { soak, thread, random } = this;
    let begun;
    const beginning = new Promise((resolve) => (begun = resolve));
    const first = this.#ask({ size: 100 }, { runtime, onFrame: begun });
    await Promise.race([beginning, first.done]);
    await sleep(random.between(0, 50));
    first.stopped = whenBusy === "interrupt";
    const second = this.#ask({ size: 20 }, { forwardedProps: whenBusy ? { whenBusy } : {} });
    await second.done;
    const [answer] = second.reader.frames;
    const busy = answer?.data.includes('"THREAD_BUSY"');
    if (busy) thread.takeBack(second);
    if (answer && busy === !whenBusy) soak.tally.did(what);
    const how = (await first.done).over;
    return how === "end" ? second.over : how;
  }
}

/** What may happen, as often as it stands here. */
const WAYS = [
  ...Array(6).fill("plain"),
  ...Array(2).fill("lengthy"),
  ...Array(3).fill("misbehaves"),
  "burst",
  "attached",
  "trickle",
  "readSlowly",
  "leave",
  "stop",
  "refused",
  "enqueued",
  "interrupted",
];
