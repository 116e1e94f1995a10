// The processes of the runtime on one database file: started, replaced, killed, and looked after to their ends.

import { existsSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../tests/client/support/wait.mjs";
import { sample } from "./vitals.mjs";

export const DATABASE = "soak.db";
/** So many of a user's threads the runtime keeps when it starts. */
export const KEPT_THREADS = 100;
const OPERATORS = ["--metrics-bind", "127.0.0.1:0"];

export class Fleet {
  /** Every process there was: `{ name, process, origin, operators, since, until, samples, base }`. */
  lives = [];
  /** The one at the address everybody knows, and perhaps a second on the same file at another. */
  main;
  second;
  largestWal = 0;
  #calm = 0;
  #disturbance;

  constructor(place, tally, secrets) {
    this.place = place;
    this.tally = tally;
    this.secrets = secrets;
  }

  /** One of the processes that serve now. */
  any(random) {
    return this.second && random.chance(0.4) ? this.second.process : this.main.process;
  }

  async startMain() {
    const flags = this.port ? ["--bind", `127.0.0.1:${this.port}`] : [];
    this.main = await this.#start("main", flags);
    this.port ??= new URL(this.main.process.url).port;
  }

  async startSecond() {
    this.second = await this.#start("second", []);
  }

  async #start(name, flags) {
    const before = performance.now();
    const process = await this.place.start({ flags: [...flags, ...OPERATORS] });
    const operators = process.output().match(/metrics\s+(http:\S+)\/metrics/)[1];
    const life = { name, process, operators, since: performance.now(), samples: [], startedIn: performance.now() - before };
    this.lives.push(life);
    life.base = sample(process.pid);
    return life;
  }

  /** Does what needs processes that stay and threads at rest; the operator waits for it. */
  async calmly(work) {
    while (this.#disturbance) await this.#disturbance;
    this.#calm += 1;
    try {
      return await work();
    } finally {
      this.#calm -= 1;
    }
  }

  /** Does what makes processes come and go, in the middle of runs, but not while somebody checks what is kept. */
  async disturb(work) {
    let release;
    this.#disturbance = new Promise((resolve) => (release = resolve));
    try {
      await until(() => this.#calm === 0, "the checks to be over");
      return await work();
    } finally {
      this.#disturbance = undefined;
      release();
    }
  }

  /** A new process at the same address takes over from the old one. */
  roll() {
    return this.disturb(async () => {
      const old = this.main;
      await this.startMain();
      await sleep(200);
      await this.end(old);
      this.tally.did("rolling restarts");
    });
  }

  kill(random) {
    return this.disturb(async () => {
      await sleep(random.between(0, 300));
      this.main.ending = true;
      await this.main.process.kill();
      this.#over(this.main);
      this.tally.did("kill -9");
      await sleep(random.between(0, 200));
      await this.startMain();
    });
  }

  dismissSecond() {
    return this.disturb(async () => {
      const { second } = this;
      this.second = undefined;
      await this.end(second);
    });
  }

  async end(life) {
    life.ending = true;
    const { code } = await life.process.stop();
    if (code !== 0) this.tally.broken("wrong", `process ${life.process.pid}`, `exit code ${code} after SIGTERM`);
    this.#over(life);
  }

  /** What its log says. */
  #over(life) {
    life.until = performance.now();
    const where = `log of process ${life.process.pid}`;
    const text = life.process.output();
    for (const secret of this.secrets) if (text.includes(secret)) this.tally.broken("wrong", where, "it holds a secret");
    const bad = text.split("\n").filter((line) => /\bERROR\b|panicked/.test(line));
    for (const line of bad) this.tally.broken("wrong", where, line.slice(0, 400));
    this.tally.did("warnings logged", text.split(" WARN ").length - 1);
  }

  /** Looks at every process once: memory, files, what its metrics say. */
  async look({ metrics = false } = {}) {
    const wal = this.place.path(`${DATABASE}-wal`);
    if (existsSync(wal)) this.largestWal = Math.max(this.largestWal, statSync(wal).size);
    for (const life of this.lives) {
      if (life.ending) continue;
      if (life.process.hasEnded()) {
        this.tally.broken("wrong", `process ${life.process.pid}`, "it ended by itself");
        life.ending = true;
        this.#over(life);
        continue;
      }
      const vitals = sample(life.process.pid);
      if (vitals) life.samples.push({ at: performance.now(), ...vitals });
      if (metrics) await this.metrics(life).then((seen) => this.#judge(life, seen), () => {});
    }
  }

  #judge(life, seen) {
    const failures = seen["copilotkit_http_responses_total 5xx"];
    if (failures > (life.failures ?? 0)) this.tally.broken("wrong", `process ${life.process.pid}`, `${failures} responses 5xx`);
    life.failures = failures;
  }

  /** Sums of its metrics by name. */
  async metrics(life) {
    const text = await (await fetch(`${life.operators}/metrics`)).text();
    const sums = { "copilotkit_http_responses_total 5xx": 0 };
    for (const [, name, labels = "", value] of text.matchAll(/^(\w+)(\{[^}]*\})? (\S+)/gm)) {
      sums[name] = (sums[name] ?? 0) + Number(value);
      if (name === "copilotkit_http_responses_total" && /"5\d\d"/.test(labels)) sums[`${name} 5xx`] += Number(value);
    }
    return sums;
  }
}
