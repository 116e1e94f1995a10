// What is said is kept: over restarts, and when the file cannot be written, read or understood.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { after, before } from "node:test";
import { startAgents } from "../support/agents.mjs";
import { clients, core } from "../support/clients.mjs";
import { forEachOwn, ownTest } from "../support/harness.mjs";
import { agentSections, external, install } from "../support/runtime.mjs";
import { inputOf, readEvents } from "../support/sse.mjs";
import { until, within } from "../support/wait.mjs";

const DATABASE = "threads.db";

const started = {};

before(async () => {
  if (!external) started.agents = await startAgents();
});
after(() => started.agents?.close());

/** Gives `body` a place with the scripted agents and a database of its own. */
async function inPlace(body, database = DATABASE) {
  const place = install(agentSections(started.agents).join("\n"), { database });
  try {
    return await body(place);
  } finally {
    place.remove();
  }
}

async function call(runtime, method, path, body) {
  const response = await fetch(runtime.url + path, {
    method,
    headers: body && { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${method} ${path}: ${await response.clone().text()}`);
  return response.json();
}

/** Runs an agent without a client; the events of the answer. */
async function say(runtime, agent, threadId, text) {
  const message = { id: randomUUID(), role: "user", content: text };
  const reader = readEvents(`${runtime.url}/agent/${agent}/run`, inputOf(threadId, randomUUID(), [message]));
  await within(reader.done, `the run of ${text}`);
  return reader.frames.map(({ data }) => JSON.parse(data));
}

/** Everything a client can read of some threads, as text. */
async function everything(runtime, threadIds) {
  const seen = { list: await call(runtime, "GET", "/threads?agentId=state&includeArchived=true") };
  for (const id of threadIds) {
    const path = `/threads/${encodeURIComponent(id)}`;
    const reader = readEvents(`${runtime.url}/agent/state/connect`, { ...inputOf(id, "c"), lastSeenEventId: "" });
    assert.equal(await reader.done, "end");
    seen[id] = {
      messages: await call(runtime, "GET", `${path}/messages`),
      events: await call(runtime, "GET", `${path}/events`),
      state: await call(runtime, "GET", `${path}/state`),
      replay: reader.frames,
    };
  }
  return seen;
}

forEachOwn(clients, "a conversation goes on over a restart, its state too", (client) =>
  inPlace(async (place) => {
    const first = await place.start();
    const session = await client.open(first, { agent: "state" });
    await session.say("count");
    await first.stop();

    const second = await place.start();
    const reloaded = await client.open(second, { agent: "state", threadId: session.threadId });
    await reloaded.restore();
    assert.deepEqual(reloaded.transcript, session.transcript);
    assert.deepEqual(reloaded.state, session.state);
    await reloaded.say("count again");
    assert.equal(reloaded.state.count, session.state.count + 1);
    assert.equal(reloaded.messages.length, 4);
    assert.deepEqual(reloaded.errors, []);
    await second.stop();
  }),
);

ownTest("threads, names, archives, messages and states are after a restart what they were", () =>
  inPlace(async (place) => {
    const first = await place.start();
    const sessions = [];
    for (const text of ["one", "two", "three", "four"]) {
      const session = await core.open(first, { agent: "state" });
      await session.say(text);
      sessions.push(session);
    }
    const ids = sessions.map(({ threadId }) => threadId);
    const [renamed, archived, restored, deleted] = ids.map((id) => `/threads/${id}`);
    const body = { agentId: "state" };
    await call(first, "PATCH", renamed, { ...body, name: "«Zoë» 🙂" });
    await call(first, "POST", `${archived}/archive`, body);
    await call(first, "POST", `${restored}/archive`, body);
    await call(first, "PATCH", restored, { ...body, archived: false });
    await call(first, "DELETE", deleted, body);

    const before = await everything(first, ids);
    assert.equal(before.list.threads.length, 3);
    const entry = (id) => before.list.threads.find((thread) => thread.id === id);
    assert.equal(entry(ids[0]).name, "«Zoë» 🙂");
    assert.deepEqual([entry(ids[1]).archived, entry(ids[2]).archived], [true, false]);
    assert.deepEqual(before[ids[3]].messages.messages, []);
    await first.stop();
    const second = await place.start();
    assert.deepEqual(await everything(second, ids), before, "after a proper end");
    await second.kill();
    const last = await place.start();
    assert.deepEqual(await everything(last, ids), before, "after a kill");
    await last.stop();
  }),
);

forEachOwn(clients, "a process that is told to end during a run ends it, keeps it, and leaves", (client) =>
  inPlace(async (place) => {
    const first = await place.start();
    const session = await client.open(first, { agent: "gated" });
    const { done } = await session.begin("hello");
    const { code, signal } = await first.stop();
    await done;
    assert.deepEqual([code, signal], [0, null], first.output());
    assert.equal(session.events.at(-1).code, "RUNTIME_SHUTDOWN");

    const second = await place.start();
    const reloaded = await client.open(second, { agent: "text", threadId: session.threadId });
    await reloaded.restore();
    assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "before "]]);
    assert.equal(reloaded.events.at(-1).code, "RUNTIME_SHUTDOWN");
    await reloaded.say("and now?");
    assert.equal(reloaded.answer, "You said: and now?");
    await second.stop();
  }),
);

ownTest("a process that is killed while it makes the database leaves one that opens", () =>
  inPlace(async (place) => {
    for (let ms = 0; ms < 40; ms += 2) {
      for (const name of readdirSync(place.directory)) {
        if (name.startsWith(DATABASE)) rmSync(place.path(name));
      }
      const killed = place.launch();
      await new Promise((resolve) => setTimeout(resolve, ms));
      await killed.kill();
      const runtime = await place.start();
      assert.equal((await say(runtime, "text", "first", "hello")).at(-1).type, "RUN_FINISHED");
      await runtime.stop();
    }
  }),
);

ownTest("a thread that was deleted stays deleted, whatever happens next, and leaves no word in the file", () =>
  inPlace(async (place) => {
    let runtime = await place.start();
    const word = `secret-${randomUUID()}`;
    // Long, as an attachment is, and short.
    await say(runtime, "text", "over", `${word} `.repeat(2_000));
    const running = say(runtime, "gated", "running", word);
    await started.agents.arrived("gated", "running");
    for (const id of ["over", "running"]) {
      const agentId = id === "over" ? "text" : "gated";
      await call(runtime, "DELETE", `/threads/${id}`, { agentId });
    }
    await runtime.kill();
    started.agents.release("running");
    await running;

    runtime = await place.start();
    for (const id of ["over", "running"]) {
      assert.deepEqual((await call(runtime, "GET", `/threads/${id}/messages`)).messages, []);
    }
    assert.deepEqual((await call(runtime, "GET", "/threads?includeArchived=true")).threads, []);
    await runtime.stop();
    for (const name of readdirSync(place.directory).filter((name) => name.startsWith(DATABASE))) {
      assert.equal(readFileSync(place.path(name)).includes(word), false, name);
    }
  }),
);

/** A database with a thread in it, left as a process leaves that has ended. */
async function filled(place) {
  const runtime = await place.start();
  await say(runtime, "text", "kept", "hello");
  await runtime.stop();
}

/** The program does not start, says why in a line or two, and touches nothing. */
async function refuses(place, database, says) {
  const path = place.path(database);
  const content = () => (existsSync(path) && !isDirectory(path) ? readFileSync(path) : undefined);
  const before = content();
  const attempt = place.launch();
  const { code } = await within(attempt.exited, "the program to end");
  const output = attempt.output();
  assert.equal(code, 1, output);
  assert.match(output, says);
  assert.ok(output.includes(database), `names the file: ${output}`);
  assert.doesNotMatch(output, /panicked|RUST_BACKTRACE/);
  assert.deepEqual(content(), before, "the file is as it was");
}

function isDirectory(path) {
  return spawnSync("test", ["-d", path]).status === 0;
}

ownTest("a file that is no database is refused with a clear text, and left as it is", () =>
  inPlace(async (place) => {
    writeFileSync(place.path(DATABASE), randomBytes(20_000));
    await refuses(place, DATABASE, /no(t a)? (SQLite )?database/i);
  }),
);

ownTest("a damaged database is refused with a clear text, and left as it is", () =>
  inPlace(async (place) => {
    await filled(place);
    const bytes = readFileSync(place.path(DATABASE));
    randomBytes(3_000).copy(bytes, 100);
    writeFileSync(place.path(DATABASE), bytes);
    await refuses(place, DATABASE, /damaged|corrupt|malformed/i);
  }),
);

ownTest("a database of a newer program is refused with a clear text, and left as it is", () =>
  inPlace(async (place) => {
    await filled(place);
    const bytes = readFileSync(place.path(DATABASE));
    const version = bytes.readUInt32BE(60); // user_version, in the header of every SQLite file
    bytes.writeUInt32BE(version + 1_000, 60);
    writeFileSync(place.path(DATABASE), bytes);
    await refuses(place, DATABASE, /newer/i);

    bytes.writeUInt32BE(version, 60);
    writeFileSync(place.path(DATABASE), bytes);
    const runtime = await place.start();
    assert.equal((await call(runtime, "GET", "/threads/kept/messages")).messages.length, 2);
    await runtime.stop();
  }),
);

ownTest("a database in a directory that is not there is refused with a clear text", () =>
  inPlace((place) => refuses(place, "no/such/directory.db", /director/i), "no/such/directory.db"),
);

ownTest("a directory is refused as a database with a clear text", () =>
  inPlace(async (place) => {
    mkdirSync(place.path(DATABASE));
    await refuses(place, DATABASE, /director/i);
  }),
);

const root = process.getuid?.() === 0;
ownTest("a database that may only be read is refused with a clear text", { skip: root && "root may write everything" }, () =>
  inPlace(async (place) => {
    await filled(place);
    chmodSync(place.path(DATABASE), 0o444);
    chmodSync(place.directory, 0o555);
    try {
      await refuses(place, DATABASE, /read-only|permission|written/i);
    } finally {
      chmodSync(place.directory, 0o755);
    }
  }),
);

const withoutTool = spawnSync("sqlite3", ["--version"]).status !== 0 && "needs the sqlite3 tool";

/** Another program, at work in the database. */
function sqlite(path) {
  const child = spawn("sqlite3", ["-batch", "-bail", "-cmd", ".timeout 10000", path], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  return {
    /** Resolves when the statement has been carried out. */
    async execute(statement) {
      const mark = randomUUID();
      child.stdin.write(`${statement};\n.print ${mark}\n`);
      await until(() => output.includes(mark), statement);
    },
    /** Without an end of its own it lets go of everything. */
    end: () => child.kill("SIGKILL"),
  };
}

ownTest("a database of another application is refused with a clear text, and left as it is", { skip: withoutTool }, () =>
  inPlace(async (place) => {
    spawnSync("sqlite3", [place.path(DATABASE), "CREATE TABLE bills (amount); INSERT INTO bills VALUES (1);"]);
    await refuses(place, DATABASE, /another|other|not .* copilotkit/i);
  }),
);

ownTest("while another program locks the database runs fail with a clear text; then all goes on", { skip: withoutTool, timeout: 120_000 }, () =>
  inPlace(async (place) => {
    const runtime = await place.start();
    const session = await core.open(runtime, { agent: "text" });
    await session.say("one");
    const speaking = say(runtime, "gated", "speaking", "hello");
    const { input } = await started.agents.arrived("gated", "speaking");

    const other = sqlite(place.path(DATABASE));
    let broken;
    try {
      await other.execute("BEGIN EXCLUSIVE");
      started.agents.release("speaking");
      let refused;
      [refused, broken] = await Promise.all([say(runtime, "text", "refused", "hello"), speaking]);
      for (const events of [refused, broken]) {
        const last = events.at(-1);
        assert.equal(last.type, "RUN_ERROR");
        assert.match(last.code, /STORE_FAILED|RUNNER_FAILED/);
        assert.match(last.message, /lock/i);
      }
      // What is there can be read meanwhile.
      assert.equal((await call(runtime, "GET", `/threads/${session.threadId}/messages`)).messages.length, 2);
    } finally {
      other.end();
    }

    await session.say("two");
    assert.equal(session.answer, "You said: two");
    await until(
      async () => (await say(runtime, "text", "speaking", "and now?")).at(-1).type === "RUN_FINISHED",
      "the thread to be free again",
    );
    // What had been shown of the broken run is kept.
    const { messages } = await call(runtime, "GET", "/threads/speaking/messages");
    assert.equal(messages[0].id, input.messages[0].id);
    assert.ok(messages[1].content.startsWith(shownText(broken)), messages[1].content);
    await runtime.stop();
  }),
);

function shownText(events) {
  return events.map(({ type, delta }) => (type === "TEXT_MESSAGE_CONTENT" ? delta : "")).join("");
}

ownTest("when the disk is full runs fail with a clear text, and nothing kept is lost", { timeout: 120_000 }, () =>
  inPlace(async (place) => {
    const limited = await place.start({ fileLimit: 1_024 });
    const session = await core.open(limited, { agent: "text" });
    await session.say("one");
    const kept = [];
    let failed;
    for (let n = 0; !failed; n++) {
      assert.ok(n < 200, "the disk never gets full");
      const threadId = `thread-${n}`;
      const text = `${n} `.repeat(20_000);
      const events = await say(limited, "state", threadId, text);
      if (events.at(-1).type === "RUN_FINISHED") kept.push({ threadId, text });
      else failed = events.at(-1);
    }
    assert.ok(kept.length > 0);
    assert.match(failed.code, /STORE_FAILED|RUNNER_FAILED/);
    assert.match(failed.message, /full|space|write|disk/i);
    assert.match(limited.output(), /full|space|write|disk/i, "the log says so");
    const read = async (runtime) => {
      assert.deepEqual((await call(runtime, "GET", `/threads/${session.threadId}/messages`)).messages.length, 2);
      for (const { threadId, text } of kept) {
        const { messages } = await call(runtime, "GET", `/threads/${threadId}/messages`);
        assert.deepEqual(messages.map(({ content }) => content), [text, "Counted."]);
      }
    };
    await read(limited);
    await limited.stop();

    const unlimited = await place.start();
    await read(unlimited);
    for (const { threadId } of [...kept, { threadId: "new" }]) {
      assert.equal((await say(unlimited, "text", threadId, "now?")).at(-1).type, "RUN_FINISHED");
    }
    await unlimited.stop();
  }),
);
