// A small AG-UI server: POST /agents/<name> runs the script of that name and streams its events as SSE.

import { createServer } from "node:http";
import { until } from "./wait.mjs";

const WORD_GAP_MS = 4;

/**
 * Starts the server. `runs` lists every request in order of arrival:
 * `{ agent, input, headers, ended, aborted }`, where `aborted` means the caller closed the connection early.
 */
export async function startAgents(port = 0) {
  const runs = [];
  const gates = new Map();

  const server = createServer(async (request, response) => {
    const agent = decodeURIComponent(request.url.match(/^\/agents\/([^/?]+)$/)?.[1] ?? "");
    const script = scripts[agent];
    if (request.method !== "POST" || !script) {
      response.writeHead(404).end();
      return;
    }
    const input = JSON.parse(await readBody(request));
    const run = { agent, input, headers: request.headers, ended: false, aborted: false };
    runs.push(run);
    response.on("close", () => {
      run.aborted = !run.ended;
    });

    const context = {
      input,
      response,
      lastMessage: input.messages.at(-1),
      lastWords: textOf(input.messages.findLast((message) => message.role === "user")),
      messageId: `message-${input.runId}`,
      get gone() {
        return run.aborted;
      },
      released: () => gate(gates, input.threadId).promise,
    };
    try {
      await script(context, emitter(context));
    } catch (error) {
      console.error(`scripted agent ${agent} failed:`, error);
      response.destroy();
    }
    run.ended = !run.aborted;
    if (!response.destroyed) response.end();
  });

  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));

  return {
    runs,
    port: server.address().port,
    names: Object.keys(scripts),
    url: (name) => `http://127.0.0.1:${server.address().port}/agents/${encodeURIComponent(name)}`,
    /** Lets the `gated` agent of that thread go on, now or when it gets there. */
    release: (threadId) => gate(gates, threadId).open(),
    /** The `nth` request (from 0) that reached this agent for this thread, as soon as it has arrived. */
    arrived: (agent, threadId, nth = 0) =>
      until(
        () => runs.filter((run) => run.agent === agent && run.input.threadId === threadId)[nth],
        `request ${nth} of thread ${threadId} at agent ${agent}`,
      ),
    async close() {
      for (const { open } of gates.values()) open();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const descriptions = {
  text: "Answers in words",
  fails: "Fails half-way — «on purpose»",
};

const scripts = {
  /** Repeats the user's last words, word by word. */
  async text({ lastWords }, emit) {
    emit.started();
    await emit.message(`You said: ${lastWords}`);
    emit.finished();
  },

  /** Talks for a minute and a half, unless the user says "quick". */
  async slow(run, emit) {
    emit.started();
    if (run.lastWords.includes("quick")) {
      await emit.message("Quick answer.");
    } else {
      emit.open();
      for (let tick = 0; tick < 3_600 && !run.gone; tick++) {
        emit.words(`tick ${tick} `);
        await pause(25);
      }
      emit.close();
    }
    emit.finished();
  },

  /** Says "before", waits until the test releases the thread, says "after". */
  async gated(run, emit) {
    emit.started();
    emit.open();
    emit.words("before ");
    await run.released();
    emit.words("after");
    emit.close();
    emit.finished();
  },

  /** Repeats the user's last words; when they hold "wait", it does so before it says them, until the test releases the thread. */
  async patient(run, emit) {
    emit.started();
    emit.open();
    emit.words("You said: ");
    if (run.lastWords.includes("wait")) await run.released();
    emit.words(run.lastWords);
    emit.close();
    emit.finished();
  },

  /** Calls the first tool it is offered; once it has the result it reports it. */
  async tool({ input, lastMessage }, emit) {
    emit.started();
    if (lastMessage?.role === "tool") {
      await emit.message(`The tool said: ${textOf(lastMessage)}`);
    } else if (input.tools?.length) {
      await emit.toolCall(`call-${input.runId}`, input.tools[0].name, { city: "Paris" });
    } else {
      await emit.message("No tools here.");
    }
    emit.finished();
  },

  /** Begins to call a tool and waits, until the test releases the thread, with half of the arguments written. */
  async gatedTool(run, emit) {
    const toolCallId = `call-${run.input.runId}`;
    emit.started();
    emit({ type: "TOOL_CALL_START", toolCallId, toolCallName: "weather", parentMessageId: run.messageId });
    emit({ type: "TOOL_CALL_ARGS", toolCallId, delta: '{"city":' });
    await run.released();
    emit({ type: "TOOL_CALL_ARGS", toolCallId, delta: '"Paris"}' });
    emit({ type: "TOOL_CALL_END", toolCallId });
    emit.finished();
  },

  /** Shares a state, then changes it; goes on from a state it was given. */
  async state({ input }, emit) {
    emit.started();
    const count = Number.isInteger(input.state?.count) ? input.state.count : 0;
    emit({ type: "STATE_SNAPSHOT", snapshot: { count, steps: ["started"], nested: { ratio: 0.5 } } });
    await pause(WORD_GAP_MS);
    emit({
      type: "STATE_DELTA",
      delta: [
        { op: "replace", path: "/count", value: count + 1 },
        { op: "add", path: "/steps/-", value: "counted" },
      ],
    });
    await emit.message("Counted.");
    emit.finished();
  },

  /** Fails with a message still open, unless the user says "please". */
  async fails({ lastWords }, emit) {
    emit.started();
    if (lastWords.includes("please")) {
      await emit.message("Fine now.");
      emit.finished();
      return;
    }
    emit.open();
    emit.words("This will go ");
    await pause(WORD_GAP_MS);
    emit({ type: "RUN_ERROR", message: "The model is out of words", code: "MODEL_ERROR" });
  },

  /** Refuses every request. */
  async broken({ response }) {
    response.writeHead(500, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: "quota exhausted" }));
  },

  /** Loses the connection in the middle of a message. */
  async cut({ response }, emit) {
    emit.started();
    emit.open();
    emit.words("Half a ");
    await pause(20);
    response.destroy();
  },

  /** Forgets to say that it is done. */
  async unfinished(_, emit) {
    emit.started();
    emit.open();
    emit.words("And then");
  },

  /** Speaks in chunks, which have neither start nor end. */
  async chunks({ messageId, input }, emit) {
    emit.started();
    emit({ type: "TEXT_MESSAGE_CHUNK", messageId, role: "assistant", delta: "Chunk " });
    emit({ type: "TEXT_MESSAGE_CHUNK", delta: "by chunk." });
    const toolCallId = `call-${input.runId}`;
    emit({ type: "TOOL_CALL_CHUNK", toolCallId, toolCallName: "note", parentMessageId: messageId, delta: '{"n":' });
    emit({ type: "TOOL_CALL_CHUNK", delta: "1}" });
    emit({ type: "TOOL_CALL_RESULT", messageId: `result-${input.runId}`, toolCallId, role: "tool", content: "noted" });
    emit.finished();
  },

  /** Shows steps, an activity that progresses, and events of its own kind. */
  async lively({ input }, emit) {
    const messageId = `activity-${input.runId}`;
    const activityType = "search";
    emit.started();
    emit({ type: "STEP_STARTED", stepName: "searching" });
    emit({ type: "ACTIVITY_SNAPSHOT", messageId, activityType, content: { query: "cats", found: 0 } });
    emit({ type: "ACTIVITY_DELTA", messageId, activityType, patch: [{ op: "replace", path: "/found", value: 3 }] });
    emit({ type: "CUSTOM", name: "progress", value: { percent: 50, "ключ": [1, null] } });
    emit({ type: "STEP_FINISHED", stepName: "searching" });
    await emit.message("Found three.");
    emit.finished();
  },

  /** Shows its reasoning before it answers. */
  async reasons({ input }, emit) {
    const messageId = `reasoning-${input.runId}`;
    emit.started();
    emit({ type: "REASONING_START", messageId });
    emit({ type: "REASONING_MESSAGE_START", messageId, role: "reasoning" });
    emit({ type: "REASONING_MESSAGE_CONTENT", messageId, delta: "First I " });
    emit({ type: "REASONING_MESSAGE_CONTENT", messageId, delta: "think." });
    emit({ type: "REASONING_MESSAGE_END", messageId });
    emit({ type: "REASONING_END", messageId });
    await emit.message("Then I speak.");
    emit.finished();
  },

  /** Asks for approval; resumed, says what it was answered. */
  async interrupt({ input }, emit) {
    emit.started();
    if (input.resume) {
      const [{ interruptId, status, payload }] = input.resume;
      await emit.message(`Resumed ${interruptId}: ${status} ${JSON.stringify(payload)}`);
      emit.finished();
    } else {
      await emit.message("May I?");
      emit.finished({ type: "interrupt", interrupts: [{ id: "ask-1", reason: "approval", message: "Send the mail?" }] });
    }
  },

  /** Answers with the tool call through which the client collects suggestions. */
  async suggest({ input }, emit) {
    emit.started();
    if (input.tools?.some((tool) => tool.name === "copilotkitSuggest")) {
      await emit.toolCall(`suggest-${input.runId}`, "copilotkitSuggest", {
        suggestions: [
          { title: "Go on", message: "Please go on." },
          { title: "Sum up", message: "Please sum it up." },
        ],
      });
    } else {
      await emit.message("Nothing to suggest.");
    }
    emit.finished();
  },
};

/** An agent's name may be any text. */
scripts["Zoë no. 2"] = scripts.text;

/** `emit(event)` writes one event; its methods write the usual groups. */
function emitter({ input, response, messageId }) {
  const emit = (event) => {
    if (!response.headersSent) {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    }
    if (!response.destroyed) response.write(`data: ${JSON.stringify(event)}\n\n`);
  };
  const ids = { threadId: input.threadId, runId: input.runId };
  return Object.assign(emit, {
    started: () => emit({ type: "RUN_STARTED", ...ids }),
    finished: (outcome) => emit({ type: "RUN_FINISHED", ...ids, ...(outcome ? { outcome } : {}) }),
    open: () => emit({ type: "TEXT_MESSAGE_START", messageId, role: "assistant" }),
    words: (delta) => emit({ type: "TEXT_MESSAGE_CONTENT", messageId, delta }),
    close: () => emit({ type: "TEXT_MESSAGE_END", messageId }),
    async message(text) {
      emit.open();
      for (const word of text.split(/(?<= )/)) {
        emit.words(word);
        await pause(WORD_GAP_MS);
      }
      emit.close();
    },
    async toolCall(toolCallId, toolCallName, args) {
      emit({ type: "TOOL_CALL_START", toolCallId, toolCallName, parentMessageId: messageId });
      for (const delta of JSON.stringify(args).match(/.{1,12}/gs)) {
        emit({ type: "TOOL_CALL_ARGS", toolCallId, delta });
        await pause(WORD_GAP_MS);
      }
      emit({ type: "TOOL_CALL_END", toolCallId });
    },
  });
}

function gate(gates, threadId) {
  if (!gates.has(threadId)) {
    let open;
    const promise = new Promise((resolve) => {
      open = resolve;
    });
    gates.set(threadId, { promise, open });
  }
  return gates.get(threadId);
}

function textOf(message) {
  const content = message?.content ?? "";
  return typeof content === "string" ? content : JSON.stringify(content);
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
