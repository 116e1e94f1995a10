// The crash and disconnect tests trust what compares. Here it is shown logs with one fault each, and must find every one.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Findings, FollowedThread, Follower, INTERRUPTED } from "../support/followed-thread.mjs";
import { makePlan } from "../support/plans.mjs";
import { seeded } from "../support/random.mjs";
import { differences, judge, keptCount, tell, unfounded } from "../support/story.mjs";

const SEEDS = [1, 2, 3, 4, 5];
const MESSAGE = { id: "message-1", role: "user", content: "hello" };

/** What an agent says in a run. */
function saidOf(seed) {
  const { steps } = makePlan(seeded(seed), { threadId: "t", runId: "r", size: 50 });
  return steps.flatMap(({ events }) => events);
}

/** A run that was broken off after `count` events, as it should be kept. */
function brokenOff(said, count) {
  const [run] = tell(said.slice(0, count)).runs;
  const open = (streams) => [...streams].filter(([, { end }]) => !end).map(([id]) => id);
  const answered = run.others.map((json) => JSON.parse(json)).filter(({ type }) => type === "TOOL_CALL_RESULT").map(({ toolCallId }) => toolCallId);
  const unended = new Set(open(run.calls));
  const closers = [
    ...open(run.texts).map((messageId) => ({ type: "TEXT_MESSAGE_END", messageId })),
    ...[...run.calls.keys()].filter((id) => !answered.includes(id)).flatMap((toolCallId) => [
      ...(unended.has(toolCallId) ? [{ type: "TOOL_CALL_END", toolCallId }] : []),
      { type: "TOOL_CALL_RESULT", toolCallId, messageId: `${toolCallId}-result`, role: "tool", content: "{}" },
    ]),
    { type: "RUN_ERROR", message: "broken off", code: INTERRUPTED },
  ];
  const input = { messages: [MESSAGE] };
  const started = JSON.stringify({ ...JSON.parse(said[0]), input });
  return [started, ...said.slice(1, count), ...closers.map((event) => JSON.stringify(event))];
}

/** Everything that is found when these events are what was kept. */
function found(events, said, atLeast) {
  const { runs, problems } = tell(events);
  if (runs.length !== 1) return [...problems, `${runs.length} runs`];
  const verdict = judge(runs[0], said, { codes: [INTERRUPTED] });
  return [...problems, ...verdict.problems, ...(verdict.kept < atLeast ? [`only ${verdict.kept} kept`] : [])];
}

test("a run that was kept whole, or up to any event, is found right", () => {
  for (const said of SEEDS.map(saidOf)) {
    assert.deepEqual(found(said, said, said.length), []);
    for (let count = 1; count < said.length; count++) {
      assert.deepEqual(found(brokenOff(said, count), said, count), [], `broken off after ${count}`);
      assert.equal(keptCount(tell(said.slice(0, count)).runs[0]), count);
    }
  }
});

test("any event that is missing, comes twice or has changed is found", () => {
  for (const said of SEEDS.map(saidOf)) {
    for (const [kept, count] of [[said, said.length], [brokenOff(said, 30), 30]]) {
      for (const [at, json] of kept.entries()) {
        assert.notDeepEqual(found(kept.toSpliced(at, 1), said, count), [], `missing: ${json}`);
        // What sets a value says the same when it comes twice.
        const sets = json.includes("STATE_DELTA") && json.includes('"value":[');
        if (!sets) assert.notDeepEqual(found(kept.toSpliced(at, 0, json), said, count), [], `twice: ${json}`);
        // What closes a run has words of its own, and the input is another test's.
        if (at >= count || json.includes(MESSAGE.id)) continue;
        const changed = json.replace(/[a-z](?=[^a-z]*$)/i, (letter) => (letter === "z" ? "y" : "z"));
        assert.notDeepEqual(found(kept.with(at, changed), said, count), [], `${json} as ${changed}`);
      }
    }
  }
});

test("deltas in another order are found, and so are other events", () => {
  for (const said of SEEDS.map(saidOf)) {
    for (const type of ["TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "REASONING"]) {
      const places = said.flatMap((json, at) => (json.includes(`"type":"${type}`) ? [at] : []));
      const id = (at) => JSON.parse(said[at]).messageId ?? JSON.parse(said[at]).toolCallId;
      const second = places.find((at, nth) => nth && id(places[nth - 1]) === id(at));
      if (second === undefined) continue;
      const first = places[places.indexOf(second) - 1];
      const swapped = said.with(first, said[second]).with(second, said[first]);
      assert.notDeepEqual(found(swapped, said, said.length), [], `${said[first]} and ${said[second]}`);
    }
  }
});

test("a run that nobody closed, or that was closed for another reason, is found", () => {
  const said = saidOf(1);
  const kept = brokenOff(said, 20);
  assert.notDeepEqual(found(kept.slice(0, -1), said, 20), []);
  const other = JSON.stringify({ type: "RUN_ERROR", message: "no", code: "INCOMPLETE_STREAM" });
  assert.notDeepEqual(found(kept.with(-1, other), said, 20), []);
  assert.notDeepEqual(found(kept.with(-1, JSON.stringify({ type: "RUN_FINISHED", threadId: "t", runId: "r" })), said, 20), []);
});

test("more than the agent has said is found", () => {
  const said = saidOf(1);
  assert.notDeepEqual(found(said, said.slice(0, 20), 20), []);
});

test("a part of a run is founded in the whole, but a foreign part is not", () => {
  for (const said of SEEDS.map(saidOf)) {
    const [whole] = tell(said).runs;
    for (let count = 1; count < said.length; count++) {
      const [part] = tell(said.slice(0, count)).runs;
      assert.deepEqual(unfounded(part, whole), []);
      assert.notDeepEqual(differences(part, whole), [], `${count} of ${said.length}`);
    }
    const place = said.findIndex((json) => json.includes("TEXT_MESSAGE_CONTENT"));
    const [foreign] = tell(said.slice(0, place + 1).with(place, said[place].replace("⟨", "⟨9"))).runs;
    assert.notDeepEqual(unfounded(foreign, whole), []);
  }
});

test("a follower's gaps and repetitions are found", () => {
  const said = saidOf(2);
  const { runs } = tell(said);
  const frames = said.map((data, at) => ({ id: `1-${at + 1}`, data }));
  const check = (log) => {
    const findings = new Findings();
    const follower = new Follower("t", seeded(1));
    follower.frames = log;
    follower.check(runs, findings, { whole: true });
    return findings.list;
  };
  assert.deepEqual(check(frames), []);
  for (const at of frames.keys()) {
    assert.notEqual(check(frames.toSpliced(at, 1)).length, 0, `without ${said[at]}`);
    assert.notEqual(check(frames.toSpliced(at, 0, frames[at])).length, 0, `twice ${said[at]}`);
  }
  assert.notEqual(check(frames.with(-1, { data: said.at(-1) })).length, 0, "without an id");
});

test("an event that was shown and is not kept is found, and so is a run or a message", async () => {
  const said = saidOf(3);
  const shown = 25;
  const kept = (count) => brokenOff(said, count);
  const assistants = (count) => [...tell(kept(count)).runs[0].texts].map(([id, { text }]) => ({ id, role: "assistant", content: text }));
  const verified = (history, messages, agents) => playVerification({ said, shown, history, messages, agents });

  assert.deepEqual(await verified(kept(shown), [MESSAGE, ...assistants(shown)]), []);
  assert.deepEqual(await verified(kept(shown + 3), [MESSAGE, ...assistants(shown + 3)]), [], "more than was shown");
  assert.notEqual((await verified(kept(shown - 1), [MESSAGE, ...assistants(shown - 1)])).length, 0, "one event less");
  assert.notEqual((await verified([], [])).length, 0, "nothing at all");
  assert.notEqual((await verified(kept(shown), assistants(shown))).length, 0, "without the user's message");
  assert.notEqual((await verified(kept(shown), [MESSAGE])).length, 0, "without the answer's message");
  const mute = kept(shown).with(0, JSON.stringify({ ...JSON.parse(said[0]), input: { messages: [] } }));
  assert.notEqual((await verified(mute, [MESSAGE, ...assistants(shown)])).length, 0, "without the input");
});

/** Lets a thread be verified against a runtime that is made up: it shows some events, is gone, and has kept others. */
async function playVerification({ said, shown, history, messages }) {
  const send = (response, events) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(events.map((json) => `data: ${json}\n\n`).join(""));
  };
  const server = createServer((request, response) => {
    if (request.url.endsWith("/run")) {
      send(response, brokenOff(said, shown).slice(0, shown));
      setTimeout(() => response.destroy(), 20);
    } else if (request.url.endsWith("/connect")) {
      send(response, history);
      response.end();
    } else {
      response.end(JSON.stringify({ messages }));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const runtime = { url: `http://127.0.0.1:${server.address().port}` };
  const thread = new FollowedThread("t", { plans: new Map(), runs: new Map([["r", { said }]]) }, seeded(1));
  const findings = new Findings();
  const { done } = thread.run(runtime, MESSAGE, { runId: "r" });
  await done;
  await thread.verify(runtime, findings);
  server.closeAllConnections();
  server.close();
  return findings.list;
}
