// One face for all clients under test, so that a test is written once and holds for each of them:
// CopilotKit's core over both transports, and both generations of the AG-UI client.

import { randomUUID } from "node:crypto";
import { CopilotKitCore } from "@copilotkit/core";
import * as agUi0 from "ag-ui-client-v0";
import * as agUi1 from "ag-ui-client-v1";
import { until, within } from "./wait.mjs";

// Core stays silent where there is no window: it takes that for server-side rendering.
globalThis.window ??= globalThis;

// The clients report every failure on the console; the sessions below collect failures instead.
if (!process.env.CLIENT_TESTS_VERBOSE) {
  console.error = console.warn = console.log = () => {};
}

/**
 * Opens a session: a freshly loaded client with one agent and one thread.
 * `open(runtime, { agent, threadId?, tools? })`
 */
export const core = { name: "core", open: (runtime, options) => openCore(runtime.url, "rest", options) };
export const coreAuto = { name: "core, transport detected", open: (runtime, options) => openCore(runtime.url, "auto", options) };
export const coreSingle = { name: "core, single endpoint", open: (runtime, options) => openCore(runtime.singleUrl, "single", options) };
export const agUi059 = { name: "AG-UI client 0.0.59", open: (runtime, options) => openAgUi(agUi0, runtime.url, options) };
export const agUi100 = { name: "AG-UI client 1.0.0", open: (runtime, options) => openAgUi(agUi1, runtime.url, options) };

export const cores = [core, coreSingle];
export const agUiClients = [agUi059, agUi100];
export const clients = [...cores, ...agUiClients];

/** What every session keeps: `events`, `errors` (`{ message, code }`), and how to speak. */
class Session {
  events = [];
  errors = [];

  constructor(agent) {
    this.agent = agent;
    agent.subscribe({
      onEvent: ({ event }) => {
        this.events.push(event);
      },
    });
  }

  get threadId() {
    return this.agent.threadId;
  }

  get messages() {
    return this.agent.messages;
  }

  get state() {
    return this.agent.state;
  }

  /** The types of the events received so far. */
  get types() {
    return this.events.map((event) => event.type);
  }

  /** What happened so far, for the message of a failure: `RUN_STARTED, TEXT_MESSAGE_CONTENT ×7, …`. */
  get story() {
    const steps = [];
    for (const type of this.types) {
      if (steps.at(-1)?.type === type) steps.at(-1).times += 1;
      else steps.push({ type, times: 1 });
    }
    const events = steps.map(({ type, times }) => (times > 1 ? `${type} ×${times}` : type)).join(", ");
    return `events: ${events || "none"}; errors: ${JSON.stringify(this.errors)}`;
  }

  /** `[[role, text], …]` of the messages on the screen. */
  get transcript() {
    return this.messages.map(({ role, content }) => [role, content ?? ""]);
  }

  /** The text of the last assistant message. */
  get answer() {
    return this.messages.findLast((message) => message.role === "assistant")?.content ?? "";
  }

  /** Says something and follows the run to its end. */
  async say(text, parameters) {
    this.agent.addMessage({ id: randomUUID(), role: "user", content: text });
    return within(this.run(parameters), () => `the run after «${text}»; ${this.story}`);
  }

  /** Says something and returns as soon as the answer has begun; `done` ends with the run. */
  async begin(text) {
    const before = this.events.length;
    const done = this.say(text);
    done.catch(() => {}); // a test that fails earlier must not be blamed twice
    await until(
      () => this.events.slice(before).some((event) => event.type === "TEXT_MESSAGE_CONTENT"),
      () => `the first words after «${text}»; ${this.story}`,
    );
    return { done };
  }

  /** Closes the connection without telling the runtime, as a closed browser tab does. */
  hangUp() {
    this.agent.abortController.abort();
  }

  /** Restores the thread, following a run to its end if one is going on. */
  restore() {
    return within(this.connect(), () => `connecting; ${this.story}`);
  }
}

class CoreSession extends Session {
  constructor(core, agent) {
    super(agent);
    this.core = core;
  }

  run({ resume } = {}) {
    return this.core.runAgent({ agent: this.agent, resume });
  }

  connect() {
    return this.core.connectAgent({ agent: this.agent });
  }

  stop() {
    this.core.stopAgent({ agent: this.agent });
  }
}

class AgUiSession extends Session {
  constructor(agent, stopUrl, tools) {
    super(agent);
    this.stopUrl = stopUrl;
    this.tools = tools.map(({ name, description, schema }) => ({ name, description, parameters: schema }));
    this.handlers = Object.fromEntries(tools.map(({ name, handler }) => [name, handler]));
    agent.subscribe({
      onRunErrorEvent: ({ event: { message, code } }) => {
        this.errors.push({ message, code });
      },
      onRunFailed: ({ error }) => {
        this.errors.push({ message: error.message, code: "CLIENT_FAILED" });
      },
    });
  }

  /** Runs, then answers the tool calls and runs again, as an application does with this client. */
  async run({ resume } = {}) {
    const { newMessages } = await this.agent.runAgent({ tools: this.tools, resume }).catch(() => ({ newMessages: [] }));
    const calls = newMessages.flatMap((message) => message.toolCalls ?? []);
    const unanswered = calls.filter(({ id, function: { name } }) =>
      this.handlers[name] && !this.messages.some((message) => message.toolCallId === id),
    );
    if (!unanswered.length) return;
    for (const { id, function: call } of unanswered) {
      const content = await this.handlers[call.name](JSON.parse(call.arguments || "{}"));
      this.agent.addMessage({ id: randomUUID(), role: "tool", toolCallId: id, content });
    }
    await this.run();
  }

  connect() {
    return this.agent.connectAgent({ tools: this.tools }).catch(() => {});
  }

  /** This client's own abort only hangs up, so the run is stopped the way CopilotKit does it. */
  async stop() {
    const response = await fetch(`${this.stopUrl}/${encodeURIComponent(this.threadId)}`, { method: "POST" });
    return response.json();
  }
}

async function openCore(runtimeUrl, runtimeTransport, { agent: agentId, threadId = randomUUID(), tools = [] }) {
  const core = await connectedCore(runtimeUrl, runtimeTransport);
  for (const { schema, ...tool } of tools) core.addTool({ ...tool, parameters: standardSchema(schema) });
  const agent = core.getAgent(agentId);
  if (!agent) throw new Error(`core does not know the agent ${agentId}, only ${Object.keys(core.agents)}`);
  agent.threadId = threadId;
  const session = new CoreSession(core, agent);
  core.subscribe({
    onError: ({ error, code }) => {
      session.errors.push({ message: error.message, code: error.code ?? code, kind: code });
    },
  });
  return session;
}

/** A core that has asked the runtime for its agents. */
export async function connectedCore(runtimeUrl, runtimeTransport = "auto") {
  const core = new CopilotKitCore({ runtimeUrl, runtimeTransport });
  await until(
    () => core.runtimeConnectionStatus === "connected" || core.runtimeConnectionStatus === "error",
    () => `core to connect to ${runtimeUrl}, it is ${core.runtimeConnectionStatus}`,
  );
  if (core.runtimeConnectionStatus !== "connected") throw new Error(`core cannot connect to ${runtimeUrl}`);
  return core;
}

function openAgUi({ HttpAgent }, runtimeUrl, { agent, threadId = randomUUID(), tools = [] }) {
  const agentUrl = `${runtimeUrl}/agent/${encodeURIComponent(agent)}`;

  class RuntimeAgent extends HttpAgent {
    connect(input) {
      const connection = new HttpAgent({ url: `${agentUrl}/connect` });
      return connection.run(input);
    }
  }

  return new AgUiSession(new RuntimeAgent({ url: `${agentUrl}/run`, threadId }), `${agentUrl}/stop`, tools);
}

/** Core wants a schema object of one of the usual libraries; this is the least that satisfies it. */
function standardSchema(schema) {
  return {
    "~standard": {
      version: 1,
      vendor: "client-tests",
      validate: (value) => ({ value }),
      jsonSchema: { input: () => structuredClone(schema) },
    },
  };
}
