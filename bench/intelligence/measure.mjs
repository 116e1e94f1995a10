// What Intelligence mode costs the runtime: CPU for an event, memory for a run, and how soon a run is answered.
// Prints the rows of a table. Usage: node measure.mjs RUNTIME PLATFORM, both programs built with --release.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const DELTAS = 1000;
const SPEAKING = 30;
const SHORT = 20; // Before the stand-in is slow with what it has stored.
const OPEN = 1000;
const [runtimeProgram, platformProgram] = process.argv.slice(2).map((path) => resolve(path));
if (!platformProgram) throw new Error("usage: node measure.mjs RUNTIME PLATFORM");

const place = mkdtempSync(join(tmpdir(), "copilotkit-bench-"));
const children = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(place, { recursive: true, force: true });
});

/** An agent that says a run of many deltas as one piece, or holds its run open until it is released. */
function agent() {
  const held = [];
  const frame = (event) => `data: ${JSON.stringify(event)}\n\n`;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { threadId, runId, messages } = JSON.parse(body);
    response.writeHead(200, { "content-type": "text/event-stream" });
    const begin = frame({ type: "RUN_STARTED", threadId, runId }) + frame({ type: "TEXT_MESSAGE_START", messageId: runId, role: "assistant" });
    const end = frame({ type: "TEXT_MESSAGE_END", messageId: runId }) + frame({ type: "RUN_FINISHED", threadId, runId });
    const delta = frame({ type: "TEXT_MESSAGE_CONTENT", messageId: runId, delta: "some words " });
    const words = messages.at(-1).content;
    if (words !== "hold") return response.end(begin + delta.repeat(words === "short" ? 1 : DELTAS) + end);
    response.write(begin + delta);
    held.push(() => response.end(end));
  });
  return { server, held };
}

async function started(program, args, options, isReady) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], cwd: place, ...options });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = isReady(line);
    if (ready) {
      child.stdout.resume();
      return { child, ready };
    }
  }
  throw new Error(`${program} ended before it was ready`);
}

/** Seconds of CPU the program has used so far, all its threads together. */
function cpu({ pid }) {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((task) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      return 0; // A thread that has ended meanwhile.
    }
  });
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
}

const resident = ({ pid }) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const row = (what, value, target = "") => console.log(`| ${what} | ${value} | ${target} |`);

const { server, held } = agent();
server.listen(0, "127.0.0.1");
await once(server, "listening");

/** The runtime before a platform of its own: the stand-in gets slow with what it has stored. */
async function open() {
  const platform = await started(platformProgram, [], {}, (line) => JSON.parse(line).port);
  const platformUrl = `http://127.0.0.1:${platform.ready}`;
  writeFileSync(
    join(place, "copilotkit.toml"),
    `[server]
bind = "127.0.0.1:0"
[users]
header = "x-user"
[agents.default]
url = "http://127.0.0.1:${server.address().port}/"
[intelligence]
api_key = "cpk-fixture.key"
api_url = "${platformUrl}"
ws_url = "ws://127.0.0.1:${platform.ready}"
generate_thread_names = false
`,
  );
  // Each open run has a connection to its agent and one to the platform.
  const limited = ["-c", `ulimit -n 16384 && exec "${runtimeProgram}" --config copilotkit.toml`];
  const runtime = await started("/bin/sh", limited, {}, (line) => /listens on (http:\S+)/.exec(line)?.[1]);

  const post = (url, body, headers) =>
    fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const control = async (what, body) => (await post(`${platformUrl}/control/${what}`, body)).json();

  /** Starts a run on a thread of its own, and says how long the answer took, in ms. */
  async function run(id, words) {
    const input = { threadId: `t-${id}`, runId: `r-${id}`, messages: [{ id: `m-${id}`, role: "user", content: words }] };
    const begun = performance.now();
    const response = await post(`${runtime.ready}/api/copilotkit/agent/default/run`, input, { "x-user": "ada" });
    const answer = await response.json();
    if (response.status !== 200) throw new Error(JSON.stringify(answer));
    return performance.now() - begun;
  }

  /** How long the platform alone takes for the four calls before a run, in ms. */
  async function alone(id) {
    const headers = { "content-type": "application/json", authorization: "Bearer cpk-fixture.key" };
    const call = async (method, path, body) =>
      (await fetch(platformUrl + path, { method, headers, body: body && JSON.stringify(body) })).text();
    const who = { userId: "ada", agentId: "default" };
    const begun = performance.now();
    await call("GET", `/api/threads/a-${id}?userId=ada`);
    await call("POST", "/api/threads", { threadId: `a-${id}`, ...who });
    await call("POST", `/api/threads/a-${id}/lock`, { runId: `a-${id}`, ...who, ttlSeconds: 20 });
    await call("GET", `/api/threads/a-${id}/messages?userId=ada`);
    return performance.now() - begun;
  }

  /** Waits until the platform has the end of a run, and says how many events it has. */
  async function stored(id) {
    for (;;) {
      const events = await control("events", { runId: `r-${id}` });
      if (["RUN_FINISHED", "RUN_ERROR"].includes(events.at(-1)?.type)) return events.length;
      await sleep(20);
    }
  }

  async function close() {
    const broken = await control("violations", {});
    if (broken.length > 0) throw new Error(`promises broken: ${broken}`);
    runtime.child.kill("SIGKILL");
    platform.child.kill("SIGKILL");
  }

  await run("warm", "go");
  await stored("warm");
  return { program: runtime.child, run, alone, stored, close };
}

console.log("| | value | target |\n|---|---:|---|");

const speaking = await open();
const before = cpu(speaking.program);
let events = 0;
for (let nth = 0; nth < SPEAKING; nth += 1) {
  await speaking.run(nth, "go");
  events += await speaking.stored(nth);
}
const perEvent = ((cpu(speaking.program) - before) / events) * 1e6;
await speaking.close();
row(`CPU per event, ${events / SPEAKING} events a run, the agent's answer read and the socket included, µs`, perEvent.toFixed(1), "≤ 100");

const short = await open();
const waits = [];
const alone = [];
for (let nth = 0; nth < SHORT; nth += 1) {
  waits.push(await short.run(nth, "short"));
  await short.stored(nth);
  alone.push(await short.alone(nth));
}
await short.close();
row("answer of a run on a new thread p50, p99, ms", `${quantile(waits, 0.5).toFixed(2)}, ${quantile(waits, 0.99).toFixed(2)}`);
const own = `${quantile(alone, 0.5).toFixed(2)}, ${quantile(alone, 0.99).toFixed(2)}`;
row("of it the platform's four answers, without the socket and the join, ms", own, "≤ 5 less");

const holding = await open();
const idle = resident(holding.program);
for (let nth = 0; nth < OPEN; nth += 1) await holding.run(`held-${nth}`, "hold");
while (held.length < OPEN) await sleep(50);
await sleep(1000);
const grown = resident(holding.program);
row("resident memory before, MiB", idle.toFixed(1));
row(`resident memory with ${OPEN} runs open, MiB`, grown.toFixed(1), "≤ 300");
held.forEach((end) => end());
await holding.stored(`held-${OPEN - 1}`);
await holding.close();
process.exit(0);
