// A reader of server-sent events that keeps every byte of what it is sent, and can leave at any event.

import { Agent, request } from "node:http";

const connections = new Agent({ keepAlive: false });

/**
 * Posts `body` and reads the events of the answer. `onFrame({ id, data })` is called for each as it arrives;
 * when it returns false the connection is cut at once. `slow` is how long, in ms, nothing of the answer is read at first.
 *
 * Returns `{ frames, opened, done, leave() }`. `done` resolves, and never rejects, with how it ended:
 * `"end"` (the server closed the stream properly), `"cut"` (the connection broke), `"left"` (we did).
 */
export function readEvents(url, body, { headers = {}, onFrame = () => {}, slow = 0 } = {}) {
  const frames = [];
  const text = JSON.stringify(body);
  let rest = "";
  let left = false;
  let settle;
  const done = new Promise((resolve) => {
    settle = resolve;
  });
  const call = request(url, {
    method: "POST",
    agent: connections,
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers },
  });
  const leave = () => {
    left = true;
    call.destroy();
    settle("left");
  };
  call.on("error", () => settle(left ? "left" : "cut"));
  call.on("response", (response) => {
    if (response.statusCode !== 200) {
      settle(`status ${response.statusCode}`);
      return response.resume();
    }
    response.setEncoding("utf8");
    if (slow) {
      response.pause();
      setTimeout(() => response.resume(), slow);
    }
    response.on("data", (chunk) => {
      if (left) return;
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const frame = parse(block);
        if (!frame) continue;
        frames.push(frame);
        if (onFrame(frame) === false) return leave();
      }
    });
    response.on("end", () => settle("end"));
    response.on("error", () => settle(left ? "left" : "cut"));
    response.on("close", () => settle(left ? "left" : "cut"));
  });
  call.end(text);
  return { frames, done, leave };
}

/** `{ id, data }` of one block of lines; nothing for a comment. */
function parse(block) {
  let id;
  let data;
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data = line.slice(6);
    else if (line && !line.startsWith(":")) throw new Error(`not a line the runtime may send: ${line.slice(0, 80)}`);
  }
  return data === undefined ? undefined : { id, data };
}

/** A whole `RunAgentInput`. */
export function inputOf(threadId, runId, messages = []) {
  return { threadId, runId, state: {}, messages, tools: [], context: [], forwardedProps: {} };
}
