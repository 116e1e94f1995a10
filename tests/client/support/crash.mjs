// Kills the runtime again and again while it is busy, and holds what it has kept against what anybody had seen.

import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { agUi059, agUi100, core, coreSingle } from "./clients.mjs";
import { AGENT, Findings, FollowedThread, INTERRUPTED, SHUTDOWN } from "./followed-thread.mjs";
import { startPlannedAgent } from "./planned-agent.mjs";
import { makeMessage, makePlan } from "./plans.mjs";
import { agentSection, install } from "./runtime.mjs";

const THREADS = 12;
/** Older threads make room for new ones, and are read once more at the end. */
const RUNS_PER_THREAD = 8;
/** A thread that has taken no run for so long after a restart is stuck. */
const STUCK_MS = 60_000;
const REAL_CLIENTS = [core, coreSingle, agUi059, agUi100];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Kills the runtime `kills` times. Returns what happened. With a `witness`, a second process on the same database lives
 * through it all; clients use it too, and find in it what the killed one has left.
 */
export async function crash({ kills, random, database, witness = false, onKill = () => {} }) {
  const agent = await startPlannedAgent();
  const place = install(agentSection(AGENT, agent.url), { database });
  const course = new Course(place, agent, random);
  try {
    await course.start();
    if (witness) course.witness = await place.start();
    while (course.kills < kills) {
      await course.load();
      await course.recover();
      onKill(course);
    }
    await course.readEverythingAgain();
    await Promise.all([course.runtime.stop(), course.witness?.stop()]);
    if (database !== "memory") course.checkFile();
    return course;
  } finally {
    place.remove();
    await agent.close();
  }
}

export class Course {
  findings = new Findings();
  kills = 0;
  runs = 0;
  interrupted = 0;
  received = 0;
  /** How long after the start of the process a new run on a broken thread showed its first event. */
  acceptances = [];
  slowestStart = 0;
  threads = [];
  retired = [];
  attachments = [];

  constructor(place, agent, random) {
    this.place = place;
    this.agent = agent;
    this.random = random;
  }

  /** One line for people and for the records. */
  toString() {
    const { findings } = this;
    const ms = (time) => `${Math.ceil(time)} ms`;
    const accepted = this.acceptances.toSorted((a, b) => a - b);
    return [
      `${this.kills} kills`,
      `${this.runs} runs of which ${this.interrupted} were broken off`,
      `${this.received} events received`,
      `${findings.count("lost")} lost`,
      `${findings.count("doubled")} doubled`,
      `${findings.count("stuck")} threads stuck`,
      `${findings.count("wrong")} otherwise wrong`,
      `slowest start ${ms(this.slowestStart)}`,
      `from the start of the process to the first event of a new run on a broken thread ` +
        `${ms(accepted[Math.floor(accepted.length / 2)])} (median), ${ms(accepted.at(-1))} (slowest of ${accepted.length})`,
    ].join(", ");
  }

  async start() {
    const before = performance.now();
    this.freeSince ??= before;
    this.runtime = await this.place.start();
    this.slowestStart = Math.max(this.slowestStart, performance.now() - before);
  }

  /** The process a client happens to talk to. */
  process(thread) {
    return this.witness && thread.random.chance(0.4) ? this.witness : this.runtime;
  }

  /** Keeps the runtime busy until it is killed, at no particular moment. */
  async load() {
    const { random, runtime } = this;
    while (this.threads.length < THREADS) {
      this.threads.push(new FollowedThread(`thread-${randomUUID()}`, this.agent, random.fork()));
    }
    let killed;
    const killing = new Promise((resolve) => {
      const kill = () => {
        killed ??= this.#kill(runtime).then(resolve);
      };
      // At a moment of the clock, or with an event that has just come.
      const delay = random.between(1, 300);
      setTimeout(kill, delay);
      const events = random.chance(0.5) ? random.between(1, 600) : Infinity;
      let seen = 0;
      this.onFrame = () => {
        seen += 1;
        if (seen === events) kill();
      };
    });
    await Promise.all(this.threads.map((thread) => this.use(thread, () => Boolean(killed))));
    await killing;
  }

  async #kill(runtime) {
    // Sometimes while it is about to end properly.
    if (this.random.chance(0.15)) {
      runtime.stop();
      await sleep(this.random.between(0, 30));
    }
    await runtime.kill();
    this.kills += 1;
  }

  /** Runs a thread, with company, until the runtime is gone. */
  async use(thread, gone) {
    await sleep(thread.random.between(0, 30));
    const watching = [];
    while (!gone()) {
      const run = this.ask(thread, { size: thread.random.between(10, 160) });
      if (thread.random.chance(0.6)) watching.push(thread.follow(() => this.process(thread), gone));
      if (thread.random.chance(0.2)) watching.push(sleep(thread.random.between(0, 60)).then(() => thread.watcher().watch(this.process(thread))));
      await run.done;
    }
    await Promise.all(watching);
  }

  ask(thread, { size, hurry }) {
    const runId = thread.nextRunId();
    const plan = { runId, ...makePlan(thread.random, { threadId: thread.id, runId, size, hurry }) };
    const message = makeMessage(thread.random, `${runId}-message`, this.attachments);
    if (this.attachments.length > 8) this.attachments.shift();
    this.runs += 1;
    return thread.run(this.process(thread), message, plan, { onFrame: this.onFrame });
  }

  /** Starts the runtime again, sometimes not at the first attempt, and looks at every thread. */
  async recover() {
    const { random } = this;
    this.onFrame = undefined;
    this.freeSince = undefined;
    if (this.witness && random.chance(0.5)) {
      // What is left is found by a process that was there before.
      this.freeSince = performance.now();
      this.runtime = this.witness;
      await this.#lookAtEverything();
      await this.start();
      return;
    }
    while (random.chance(0.15)) {
      const attempt = this.place.launch();
      await sleep(random.between(0, 40));
      await attempt.kill();
      this.kills += 1;
    }
    await this.start();
    await this.#lookAtEverything();
  }

  async #lookAtEverything() {
    const { random } = this;
    const broken = this.threads.filter((thread) => thread.broken);
    this.interrupted += broken.length;
    const looker = random.pick(broken.length ? broken : this.threads);
    // Some threads are run again before anybody has looked at them, the others are looked at first.
    await Promise.all(broken.filter((thread) => thread.random.chance(0.5)).map((thread) => this.accept(thread)));
    await Promise.all(
      this.threads.map(async (thread) => {
        await thread.verify(this.process(thread), this.findings);
        if (thread === looker) await this.look(thread).catch((error) => this.findings.add("wrong", thread.id, error.message));
        else if (thread.kept.length >= RUNS_PER_THREAD) this.retire(thread);
      }),
    );
  }

  /** A new run, at once: the thread must take it. */
  async accept(thread) {
    for (;;) {
      const run = this.ask(thread, { size: 5, hurry: true });
      await run.done;
      const [first] = run.reader.frames;
      if (first && JSON.parse(first.data).type === "RUN_STARTED") {
        this.acceptances.push(run.firstEventAt - this.freeSince);
        return;
      }
      this.findings.add("wrong", thread.id, `not free at once after a restart: ${first?.data ?? run.over}`);
      thread.takeBack(run);
      if (performance.now() - this.freeSince > STUCK_MS) return this.findings.add("stuck", thread.id, "takes no run");
      await sleep(20);
    }
  }

  /** A real client must see what is kept, and be able to go on. */
  async look(thread) {
    const client = this.random.pick(REAL_CLIENTS);
    const session = await client.open(this.process(thread), { agent: AGENT, threadId: thread.id });
    await session.restore();
    const say = (text) => this.findings.add("wrong", thread.id, `${client.name}: ${text}`);
    const texts = thread.kept.flatMap((run) => [...run.texts].map(([id, { text }]) => [id, text]));
    const expected = texts.filter(([, text]) => text);
    const seen = session.messages.filter(({ role, content }) => role === "assistant" && content).map(({ id, content }) => [id, content]);
    const place = expected.findIndex((message, at) => !isDeepStrictEqual(message, seen[at]));
    if (place >= 0) say(`sees ${seen[place]} instead of ${expected[place]}; ${session.story}`);
    else if (seen.length > expected.length) say(`sees ${seen[expected.length]} too`);
    const asked = thread.userMessageIds;
    const users = session.messages.filter(({ role }) => role === "user").map(({ id }) => id);
    if (JSON.stringify(users) !== JSON.stringify(asked)) say(`sees the user's messages ${users} instead of ${asked}`);
    await session.say("Go on, please");
    const { id, role, content } = session.messages.findLast((message) => message.role === "user");
    const run = [...this.agent.runs.values()].findLast(({ input }) => input.threadId === thread.id);
    thread.note(run.input.runId, { id, role, content });
    const strange = session.errors.filter(({ code }) => ![INTERRUPTED, SHUTDOWN, "MODEL_ERROR"].includes(code));
    if (strange.length) say(JSON.stringify(strange));
  }

  retire(thread) {
    this.received += thread.receivedInAll;
    this.threads.splice(this.threads.indexOf(thread), 1);
    thread.forget();
    this.retired.push(thread);
  }

  /** The file itself is whole. */
  checkFile() {
    const { status, output } = this.place.command("db", "check");
    if (status !== 0) this.findings.add("wrong", "db check", output);
  }

  async readEverythingAgain() {
    for (const thread of [...this.threads]) {
      await thread.verify(this.runtime, this.findings);
      this.retire(thread);
    }
    for (let at = 0; at < this.retired.length; at += 16) {
      const some = this.retired.slice(at, at + 16);
      await Promise.all(some.map((thread) => thread.verifyUnchanged(this.runtime, this.findings)));
    }
  }
}
