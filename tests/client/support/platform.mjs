// The scripted Intelligence platform, a process of its own.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DEADLINE_MS, until } from "./wait.mjs";

/** The key of the project it knows. */
export const API_KEY = "cpk-fixture.key";

/** Where `cargo build --examples` leaves it, and the driver of the conformance harness. */
export const examples =
  process.env.COPILOTKIT_EXAMPLES ?? fileURLToPath(new URL("../../../target/debug/examples", import.meta.url));

/** The scripted platform; its methods are those of `tests/support/platform/control.rs`. */
export async function startPlatform(options = {}) {
  const child = await start([`${examples}/platform`], { PLATFORM: JSON.stringify(options) });
  const url = `http://127.0.0.1:${child.port}`;
  const control = async (what, body = {}) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/control/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`control/${what}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const entries = () => control("entries");
  return {
    url,
    wsUrl: `ws://127.0.0.1:${child.port}`,
    entries,
    violations: () => control("violations"),
    /** What was stored of a run. */
    events: (runId) => control("events", { runId }),
    /** A fault to come. */
    fail: (fault) => control("fail", fault),
    /** Closes the sockets of a plane, or breaks them off. */
    cut: (plane, code) => control("cut", { plane, code }),
    /** The runs that joined for a thread, in their order. */
    async runs(threadId) {
      const joins = (await entries()).filter(
        ({ plane, dir, frame }) => plane === "runner" && dir === "in" && frame[3] === "phx_join",
      );
      const ids = joins.map(({ frame }) => frame[4]).filter(({ thread_id }) => thread_id === threadId);
      return [...new Set(ids.map(({ run_id }) => run_id))];
    },
    stop: child.stop,
  };
}

/** Starts a program that prints its port as one JSON line. */
export async function start([program, ...args], environment) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let [output, failure] = ["", null];
  child.once("error", (error) => {
    failure = error;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk) => {
      output += chunk;
    });
  }
  const port = await until(
    () => {
      if (failure) throw failure;
      if (child.exitCode !== null) throw new Error(`${program} exited with code ${child.exitCode}\n${output}`);
      return output.match(/^\{.*"port":\s*(\d+).*\}$/m)?.[1];
    },
    () => `${program} to say its port\n${output}`,
  );
  return {
    port: Number(port),
    output: () => output,
    async stop() {
      process.off("exit", kill);
      if (child.exitCode !== null) return;
      const exited = new Promise((resolve) => child.once("close", resolve));
      const impatience = setTimeout(kill, DEADLINE_MS);
      child.kill("SIGTERM");
      await exited;
      clearTimeout(impatience);
    },
  };
}
