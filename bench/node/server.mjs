// The released Node runtime with the scripted agent: the reference of the comparison.
// Environment: PORT, UPSTREAM_URL (AG-UI endpoint behind the agent `remote`),
// MAX_RUNS_PER_THREAD (limit of the in-memory runner, 0 = none).
import "./environment.mjs";
import { createServer } from "node:http";
import { HttpAgent } from "@ag-ui/client";
import { CopilotRuntime, InMemoryAgentRunner } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { ScriptedAgent } from "./scripted-agent.mjs";

const { PORT = "4000", UPSTREAM_URL = "http://127.0.0.1:9/agent", MAX_RUNS_PER_THREAD } = process.env;

const limits = MAX_RUNS_PER_THREAD === undefined ? {} : { maxRunsPerThread: Number(MAX_RUNS_PER_THREAD) };
const runtime = new CopilotRuntime({
  agents: {
    default: new ScriptedAgent({ description: "Plays what forwardedProps says" }),
    remote: new HttpAgent({ url: UPSTREAM_URL, description: "Proxies UPSTREAM_URL" }),
  },
  runner: new InMemoryAgentRunner(limits),
});

createServer(createCopilotNodeListener({ runtime, basePath: "/api/copilotkit" })).listen(Number(PORT), "127.0.0.1");
