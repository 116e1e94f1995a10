// Starts the runtime under test and finds out where it listens.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { descriptions } from "./agents.mjs";
import { DEADLINE_MS } from "./wait.mjs";

const BASE_PATH = "/api/copilotkit";
const SINGLE_ROUTE_PATH = "/api/copilotkit-single";

// A test run that is broken off leaves no server behind: of themselves, neither a signal nor a closed pipe run "exit" handlers.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));
process.stdout.once("error", () => process.exit(1));

/** True when COPILOTKIT_RUNTIME_URL names a server that somebody else runs. */
export const external = Boolean(process.env.COPILOTKIT_RUNTIME_URL);

/** The port the scripted agents must use: any, unless an external runtime was configured with a fixed one. */
export const agentsPort = Number(process.env.COPILOTKIT_TEST_AGENTS_PORT ?? 0);

/** A runtime whose agents are the scripted ones, each under its own name. */
export async function startRuntime(agents) {
  if (external) {
    return {
      url: process.env.COPILOTKIT_RUNTIME_URL.replace(/\/$/, ""),
      singleUrl: process.env.COPILOTKIT_SINGLE_URL?.replace(/\/$/, ""),
      output: () => "",
      stop: async () => {},
    };
  }
  return startOnce(agentSections(agents).join("\n"));
}

/** A runtime for which no agent was configured, so that it offers its demo agent. */
export function startDemoRuntime() {
  return startOnce("");
}

/** The configuration of the scripted agents. */
export function agentSections(agents) {
  return agents.names.map((name) => agentSection(name, agents.url(name)));
}

/** The configuration of one remote agent. */
export function agentSection(name, url) {
  return [
    `[agents.${JSON.stringify(name)}]`,
    `url = "${url}"`,
    ...(descriptions[name] ? [`description = ${JSON.stringify(descriptions[name])}`] : []),
    "",
  ].join("\n");
}

async function startOnce(sections) {
  const place = install(sections);
  try {
    const runtime = await place.start();
    return {
      ...runtime,
      async stop() {
        await runtime.stop();
        place.remove();
      },
    };
  } catch (error) {
    place.remove();
    throw error;
  }
}

/**
 * A directory with a configuration, in which the runtime can be started again and again, also several at once.
 * Its threads are kept where `database` says: a path, or "memory"; without it where the binary keeps them by itself.
 * `server` is more of the configuration's table of that name.
 * The only place that knows the command line, the configuration file and the line the server prints.
 */
export function install(sections, { database, server = "" } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "copilotkit-client-tests-"));
  const config = join(directory, "copilotkit.toml");
  writeFileSync(
    config,
    `[server]
bind = "127.0.0.1:0"
base_path = "${BASE_PATH}"
single_route_path = "${SINGLE_ROUTE_PATH}"
${server}
${sections}`,
  );
  const running = new Set();
  const discard = () => {
    for (const child of running) child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", discard);

  /**
   * Starts a process; `ready` resolves with its origin once it listens. `flags` are more of its command line. No file of it
   * grows over `fileLimit` KiB.
   */
  function launch({ fileLimit, flags = [] } = {}) {
    const command = [binary(), "--config", config, ...(database ? ["--database", database] : []), ...flags];
    // An ignored signal stays ignored, so that a write over the limit fails as on a full disk.
    if (fileLimit) command.unshift("bash", "-c", `ulimit -f ${fileLimit}; trap '' XFSZ; exec "$0" "$@"`);
    const [program, ...args] = command;
    const child = spawn(program, args, {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", COPILOTKIT_TELEMETRY_DISABLED: "true" },
    });
    running.add(child);
    let output = "";
    let listens = false;
    const exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
    });
    const ready = new Promise((resolve, reject) => {
      const fail = (reason) => {
        clearTimeout(timer);
        reject(new Error(`${binary()}: ${reason}\n${output}`));
      };
      const timer = setTimeout(() => fail("did not say where it listens"), DEADLINE_MS);
      const read = (chunk) => {
        output += chunk;
        if (listens) return;
        const found = output.match(/http:\/\/(?:127\.0\.0\.1|localhost):([1-9]\d*)\b.*\n/);
        if (found) {
          listens = true;
          clearTimeout(timer);
          resolve(`http://127.0.0.1:${found[1]}`);
        }
      };
      child.stdout.setEncoding("utf8").on("data", read);
      child.stderr.setEncoding("utf8").on("data", read);
      child.once("error", (error) => fail(error.message));
      child.once("close", (code) => fail(`exited with code ${code}`));
    });
    ready.catch(() => {}); // whoever does not wait for it is not interested
    const end = async (signal) => {
      child.kill(signal);
      return exited;
    };
    return {
      pid: child.pid,
      ready,
      exited,
      hasEnded: () => child.exitCode !== null || child.signalCode !== null,
      output: () => output,
      kill: () => end("SIGKILL"),
      /** Asks it to end; what does not is killed in the end. */
      async stop() {
        const impatience = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
        const ended = await end("SIGTERM");
        clearTimeout(impatience);
        return ended;
      },
    };
  }

  return {
    directory,
    /** Where a file of that name is, for `database` and for looking at it. */
    path: (name) => join(directory, name),
    launch,
    /** Starts the runtime and waits until it listens. */
    async start(options) {
      const started = launch(options);
      const origin = await started.ready.catch(async (error) => {
        await started.kill();
        throw error;
      });
      return { ...started, url: origin + BASE_PATH, singleUrl: origin + SINGLE_ROUTE_PATH };
    },
    /** Runs another command of the program to its end: `{ status, output }`. */
    command(...words) {
      const args = [...words, "--config", config, ...(database ? ["--database", database] : [])];
      const { status, stdout, stderr } = spawnSync(binary(), args, { cwd: directory, encoding: "utf8" });
      return { status, output: stdout + stderr };
    },
    /** The same without waiting: a promise of `{ status, output }`. A `--database` among the words wins. */
    async commandBeside(...words) {
      const where = database && !words.includes("--database") ? ["--database", database] : [];
      const child = spawn(binary(), [...words, "--config", config, ...where], { cwd: directory });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
      const [status] = await once(child, "close");
      return { status, output };
    },
    remove() {
      process.off("exit", discard);
      discard();
    },
  };
}

function binary() {
  if (process.env.COPILOTKIT_RUNTIME_BIN) return process.env.COPILOTKIT_RUNTIME_BIN;
  const target = (profile) =>
    fileURLToPath(new URL(`../../../target/${profile}/copilotkit-runtime`, import.meta.url));
  return existsSync(target("release")) ? target("release") : target("debug");
}
