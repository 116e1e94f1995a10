// The soak: everything that uses the runtime at once, and the checks at the end.

import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT } from "../../tests/client/support/followed-thread.mjs";
import { startPlannedAgent } from "../../tests/client/support/planned-agent.mjs";
import { agentSection, install } from "../../tests/client/support/runtime.mjs";
import { inputOf, readEvents } from "../../tests/client/support/sse.mjs";
import { until } from "../../tests/client/support/wait.mjs";
import { Conversation } from "./conversation.mjs";
import { DATABASE, Fleet, KEPT_THREADS } from "./fleet.mjs";
import { Library } from "./library.mjs";
import { IMPATIENT, LARGEST_EVENT, misconduct, REFUSING } from "./misconduct.mjs";
import { BODY_LIMIT, misbehave } from "./strangers.mjs";
import { Tally } from "./tally.mjs";
import { memory, mib, sample } from "./vitals.mjs";

/** Without these it proves little. */
const KINDS = [
  ...Object.keys(misconduct).map((name) => `an agent ${name}`),
  ...["400 to a body that is no JSON", "401 to a key that is none", "413 to a body over the limit"].map((answer) => `answers ${answer}`),
  ...["runs stopped", "runs refused as busy", "runs that waited for another", "runs that interrupted another"],
  ...["requests answered 429", "threads found after a kill", "threads pruned", "rolling restarts", "backups", "kill -9"],
  ...["bursts of 10,000 events", "threads deleted by their users", "threads deleted by the operator"],
];
const NAMES = ["ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana"];
/** Grows while a backup reads, as nothing can be worked into the database behind its back. */
const LARGEST_WAL = 256 * 1024 * 1024;
/** In per cent of the machine, between which the load keeps by itself. */
const BUSY = [58, 70];
const LONGEST_PAUSE = 10_000;
/** Files and sockets a process may have open more than when it was new: readers of the database, a connection of ours. */
const SPARE_FILES = 16;

function user(name) {
  const key = `ckr_${randomBytes(32).toString("hex")}`;
  const hash = createHash("sha256").update(key).digest("hex");
  return { name, key, headers: { "x-api-key": key }, section: `[users.api_keys.${name}]\nhash = "sha256:${hash}"\nuser = "${name}"\n` };
}

export class Soak {
  tally = new Tally();
  attachments = [];
  conversations = new Set();
  over = false;
  phase = "start";

  /** The most time between two runs of a conversation, in ms. */
  pause = 400;

  /** `talkers` conversations at a time. */
  constructor({ random, talkers }) {
    this.random = random;
    this.talkers = talkers;
    this.users = NAMES.map(user);
    this.greedy = user("greedy");
    this.hoarder = user("hoarder");
    this.library = new Library(this);
  }

  async start() {
    this.agent = await startPlannedAgent();
    const secret = randomBytes(16).toString("hex");
    const everybody = [...this.users, this.greedy, this.hoarder];
    const sections = [
      agentSection(AGENT, this.agent.url),
      `headers = { Authorization = "Bearer ${secret}" }`,
      agentSection(IMPATIENT, this.agent.url),
      `first_event_timeout = "1s"\nidle_timeout = "2s"\nmax_event_bytes = ${LARGEST_EVENT}`,
      agentSection(REFUSING, "http://127.0.0.1:1/"),
      "[runner]\nallow_request_policy = true",
      `[retention]\nmax_threads_per_user = ${KEPT_THREADS}`,
      "[limits]\nrequests_per_second = 100\nburst = 200",
      ...everybody.map(({ section }) => section),
    ];
    this.place = install(sections.join("\n"), { database: DATABASE, server: `reuse_port = true\nbody_limit = ${BODY_LIMIT}` });
    this.fleet = new Fleet(this.place, this.tally, [secret, ...everybody.map(({ key }) => key)]);
    await this.fleet.startMain();
  }

  /** Uses the runtime until `over`. */
  async load() {
    const talkers = Array.from({ length: this.talkers }, (_, nth) => this.#talk(this.users[nth % this.users.length]));
    await Promise.all([...talkers, misbehave(this, this.greedy), misbehave(this, this.greedy), this.#hoard()]);
  }

  async #talk(user) {
    while (!this.over) {
      const conversation = new Conversation(this, user);
      this.conversations.add(conversation);
      this.tally.did("threads");
      while (!this.over && !conversation.broken && conversation.left > 0) await conversation.round();
      if (conversation.left > 0 && !conversation.broken) return; // It is looked at again at the end.
      this.conversations.delete(conversation);
      await this.fleet.calmly(() => this.library.take(conversation, conversation.random)).catch((error) => {
        this.tally.broken("wrong", conversation.thread.id, error.stack);
      });
    }
  }

  /** Makes more threads than are kept when a process starts. */
  async #hoard() {
    for (let n = 0; !this.over; n += 1) {
      await this.fleet.calmly(async () => {
        const input = inputOf(`hoarded-${n}`, `hoarded-${n}-run`, [{ id: `hoarded-${n}-message`, role: "user", content: "keep this" }]);
        const reader = readEvents(`${this.fleet.main.process.url}/agent/${AGENT}/run`, input, { headers: this.hoarder.headers });
        const how = await reader.done;
        this.agent.runs.delete(input.runId);
        if (how !== "end") this.tally.broken("wrong", input.threadId, `its only run ended with «${how}»`);
        this.tally.did("threads of the hoarder");
      });
      await sleep(150);
    }
  }

  /** Slows down or hurries, so that the machine is busy and not more. */
  adapt(busy) {
    if (busy > BUSY[1]) this.pause = Math.min(LONGEST_PAUSE, this.pause * 1.4);
    if (busy < BUSY[0]) this.pause = Math.max(50, this.pause / 1.4);
  }

  /** A copy of the database while it is used, which must be sound. */
  async backup() {
    const name = `copy-${this.tally.count("backups")}.db`;
    for (const words of [["db", "backup", name], ["db", "check", "--database", name]]) {
      const { status, output } = await this.place.commandBeside(...words);
      if (status !== 0) this.tally.broken("wrong", words.slice(0, 2).join(" "), output);
    }
    this.tally.did("backups");
  }

  /**
   * After the load: every thread takes a run, everything is as it was, and the processes are at rest. A soak that is long
   * enough has seen all kinds of faults (`all`).
   */
  async checkEverything({ warmUp, all }) {
    const { fleet, tally } = this;
    for (const conversation of this.conversations) {
      if (conversation.broken) continue;
      await conversation.check();
      await conversation.accepts();
      await this.library.take(conversation, conversation.random);
    }
    await this.library.readAgain(fleet.main.process);
    await this.#checkRetention();
    await this.#checkRest(fleet.main);
    this.#checkMemory(warmUp);
    if (fleet.largestWal > LARGEST_WAL) tally.broken("wrong", "the write-ahead log", `it grew to ${mib(fleet.largestWal)} MiB`);
    await fleet.end(fleet.main);
    const { status, output } = this.place.command("db", "check");
    if (status !== 0) tally.broken("wrong", "db check", output);
    for (const what of all ? KINDS : []) if (!tally.count(what)) tally.broken("wrong", "the soak itself", `never: ${what}`);
  }

  async #checkRetention() {
    const { output } = this.place.command("threads", "list", "--user", this.hoarder.name, "--limit", "0", "--archived", "--json");
    const left = JSON.parse(output);
    this.tally.did("threads pruned", this.tally.count("threads of the hoarder") - (left.threads ?? left).length);
  }

  async #checkRest(life) {
    const { tally, fleet } = this;
    const where = `process ${life.process.pid}`;
    const rest = async (what, condition) => {
      await until(condition, what, 30_000).catch((error) => tally.broken("wrong", where, error.message));
    };
    let seen;
    await rest("no live run, no watcher", async () => {
      seen = await fleet.metrics(life);
      return !seen.copilotkit_live_runs && !seen.copilotkit_watchers && !seen.copilotkit_queued_runs;
    });
    await rest("files and sockets as at the start", () => sample(life.process.pid).files <= life.base.files + SPARE_FILES);
    life.rest = sample(life.process.pid);
  }

  #checkMemory(warmUp) {
    for (const life of this.fleet.lives) {
      life.memory = memory(life, warmUp);
      if (life.memory && (life.until ?? performance.now()) - life.since >= 10 * 60_000 && !life.memory.flat) {
        this.tally.broken("wrong", `memory of process ${life.process.pid}`, `${life.memory.thirds.map(mib).join(", ")} MiB by thirds`);
      }
    }
  }

  async close() {
    this.over = true;
    this.place?.remove();
    await this.agent?.close();
  }
}
