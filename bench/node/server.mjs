// The released Node runtime with the scripted agent: the reference of the comparison.
// `--db FILE` keeps threads in a SQLite file.
// Environment: PORT, UPSTREAM_URL (AG-UI endpoint behind the agent `remote`),
// MAX_RUNS_PER_THREAD (limit of the in-memory runner, 0 = none),
// FILL_THREAD, FILL_RUNS (so many runs on that thread are in the file before it serves).
import "./environment.mjs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { HttpAgent } from "@ag-ui/client";
import { CopilotRuntime, InMemoryAgentRunner } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { ScriptedAgent } from "./scripted-agent.mjs";

const { PORT = "4000", UPSTREAM_URL = "http://127.0.0.1:9/agent", MAX_RUNS_PER_THREAD } = process.env;
const { FILL_THREAD, FILL_RUNS } = process.env;
const { db } = parseArgs({ options: { db: { type: "string" } } }).values;

/** Threads in memory. */
function volatile() {
  const limits = MAX_RUNS_PER_THREAD === undefined ? {} : { maxRunsPerThread: Number(MAX_RUNS_PER_THREAD) };
  return new InMemoryAgentRunner(limits);
}

/** Threads in a file. */
async function durable(dbPath) {
  // The native module is not needed otherwise.
  const { SqliteAgentRunner } = await import("./sqlite-runner.mjs");
  const runner = new SqliteAgentRunner({ dbPath });
  if (FILL_THREAD) runner.fill(FILL_THREAD, Number(FILL_RUNS));
  return runner;
}

const runtime = new CopilotRuntime({
  agents: {
    default: new ScriptedAgent({ description: "Plays what forwardedProps says" }),
    remote: new HttpAgent({ url: UPSTREAM_URL, description: "Proxies UPSTREAM_URL" }),
  },
  runner: db ? await durable(db) : volatile(),
});

createServer(createCopilotNodeListener({ runtime, basePath: "/api/copilotkit" })).listen(Number(PORT), "127.0.0.1");
