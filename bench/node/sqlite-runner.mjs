// Stands in for `@copilotkit/sqlite-runner`, which the registry does not have: a runner for the released runtime
// with that runner's tables, statements and order of work (rest-sse.md chapter 13.7).
import { EventType, compactEvents } from "@ag-ui/client";
import { AgentRunner, finalizeRunEvents } from "@copilotkit/runtime/v2";
import Database from "better-sqlite3";
import { ReplaySubject } from "rxjs";

const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS agent_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    parent_run_id TEXT,
    events TEXT NOT NULL,
    input TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS run_state (
    thread_id TEXT PRIMARY KEY,
    is_running INTEGER DEFAULT 0,
    current_run_id TEXT,
    updated_at INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS idx_thread_id ON agent_runs(thread_id);
  CREATE INDEX IF NOT EXISTS idx_parent_run_id ON agent_runs(parent_run_id);
  CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);
`;

const HISTORY = `
  WITH RECURSIVE run_chain AS (
    SELECT * FROM agent_runs WHERE thread_id = ? AND parent_run_id IS NULL
    UNION ALL
    SELECT ar.* FROM agent_runs ar INNER JOIN run_chain rc ON ar.parent_run_id = rc.run_id WHERE ar.thread_id = ?
  )
  SELECT * FROM run_chain ORDER BY created_at ASC
`;

const INSERT_RUN = `
  INSERT INTO agent_runs (thread_id, run_id, parent_run_id, events, input, created_at, version)
  VALUES (?, ?, ?, ?, ?, ?, ?)
`;

const SET_STATE = `
  INSERT OR REPLACE INTO run_state (thread_id, is_running, current_run_id, updated_at) VALUES (?, ?, ?, ?)
`;

export class SqliteAgentRunner extends AgentRunner {
  #db;
  #active = new Map();

  constructor({ dbPath }) {
    super();
    this.#db = new Database(dbPath);
    this.#db.exec(SCHEMA);
    const { version } = this.#db.prepare("SELECT MAX(version) AS version FROM schema_version").get();
    if (!version) {
      this.#db.prepare("INSERT INTO schema_version (version, applied_at) VALUES (?, ?)").run(SCHEMA_VERSION, Date.now());
    }
  }

  /** Writes runs of 20 deltas behind each other, as if they had been run: one by one that takes minutes. */
  fill(threadId, runs) {
    const insert = this.#db.prepare(INSERT_RUN);
    this.#db.transaction(() => {
      for (let n = 0; n < runs; n++) {
        const [runId, parent] = [`filled-${n}`, n > 0 ? `filled-${n - 1}` : null];
        const messages = [{ id: `u-${runId}`, role: "user", content: "And what would you do next?" }];
        const input = { threadId, runId, state: {}, messages, tools: [], context: [], forwardedProps: {} };
        const messageId = `${runId}-m1`;
        const events = [
          { type: EventType.RUN_STARTED, threadId, runId, input },
          { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" },
          { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta: "x".repeat(20 * 16) },
          { type: EventType.TEXT_MESSAGE_END, messageId },
          { type: EventType.RUN_FINISHED, threadId, runId },
        ];
        const now = Date.now() - runs + n;
        insert.run(threadId, runId, parent, JSON.stringify(events), JSON.stringify(input), now, SCHEMA_VERSION);
      }
    })();
  }

  run({ threadId, agent, input }) {
    if (this.#state(threadId).is_running === 1) throw new Error("Thread already running");
    this.#setState(threadId, true, input.runId);
    const known = new Set();
    for (const { events } of this.#history(threadId)) {
      for (const event of events) {
        if (typeof event.messageId === "string") known.add(event.messageId);
        if (event.type === EventType.RUN_STARTED) {
          for (const message of event.input?.messages ?? []) known.add(message.id);
        }
      }
    }
    const run = { threadId, input, agent, known, events: [], stopRequested: false };
    run.watched = new ReplaySubject(Infinity);
    run.answered = new ReplaySubject(Infinity);
    this.#active.set(threadId, run);
    this.#drive(run);
    return run.answered.asObservable();
  }

  async #drive(run) {
    const { threadId, input, known, events } = run;
    const parent = this.#latestRunId(threadId);
    const say = (event) => {
      run.answered.next(event);
      run.watched.next(event);
    };
    try {
      await run.agent.runAgent(input, {
        onEvent: ({ event }) => {
          if (event.type === EventType.RUN_STARTED && !event.input) {
            const messages = input.messages?.filter((message) => !known.has(message.id));
            event.input = { ...input, ...(messages !== undefined ? { messages } : {}) };
          }
          say(event);
          events.push(event);
        },
      });
    } catch {
      // What is missing at the end tells of it.
    }
    for (const event of finalizeRunEvents(events, { stopRequested: run.stopRequested })) say(event);
    const [kept, asked] = [JSON.stringify(compactEvents(events)), JSON.stringify(input)];
    this.#db.prepare(INSERT_RUN).run(threadId, input.runId, parent, kept, asked, Date.now(), SCHEMA_VERSION);
    this.#setState(threadId, false, null);
    run.answered.complete();
    run.watched.complete();
    this.#active.delete(threadId);
  }

  connect({ threadId }) {
    const answered = new ReplaySubject(Infinity);
    const replayed = new Set();
    for (const event of compactEvents(this.#history(threadId).flatMap((run) => run.events))) {
      answered.next(event);
      if (typeof event.messageId === "string") replayed.add(event.messageId);
    }
    const active = this.#active.get(threadId);
    if (active && (this.#state(threadId).is_running === 1 || active.stopRequested)) {
      active.watched.subscribe({
        next: (event) => replayed.has(event.messageId) || answered.next(event),
        complete: () => answered.complete(),
        error: (error) => answered.error(error),
      });
    } else {
      answered.complete();
    }
    return answered.asObservable();
  }

  async isRunning({ threadId }) {
    return this.#state(threadId).is_running === 1;
  }

  async stop({ threadId }) {
    const run = this.#active.get(threadId);
    if (!run || run.stopRequested) return false;
    run.stopRequested = true;
    this.#setState(threadId, false, null);
    run.agent.abortRun();
    return true;
  }

  #history(threadId) {
    const rows = this.#db.prepare(HISTORY).all(threadId, threadId);
    return rows.map((row) => ({ ...row, events: JSON.parse(row.events), input: JSON.parse(row.input) }));
  }

  #latestRunId(threadId) {
    const latest = "SELECT run_id FROM agent_runs WHERE thread_id = ? ORDER BY created_at DESC LIMIT 1";
    return this.#db.prepare(latest).get(threadId)?.run_id ?? null;
  }

  #state(threadId) {
    const row = this.#db.prepare("SELECT is_running, current_run_id FROM run_state WHERE thread_id = ?").get(threadId);
    return row ?? { is_running: 0, current_run_id: null };
  }

  #setState(threadId, isRunning, runId) {
    this.#db.prepare(SET_STATE).run(threadId, isRunning ? 1 : 0, runId, Date.now());
  }
}
