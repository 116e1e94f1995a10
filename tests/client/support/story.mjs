// What events say, whichever way they say it: live in many pieces, replayed in few, or resumed half-way.
// Two clients that were told the same story hold the same conversation, byte for byte.

import { isDeepStrictEqual } from "node:util";
import { highestToken } from "./plans.mjs";

/**
 * Reads the events (JSON texts) of a thread. Returns its runs and what is wrong with the sequence itself: anything said
 * twice, out of order or outside of a run. A run is
 *
 *     { runId, started, texts: {id → {start, text, end}}, calls: {id → {start, text, end}}, others, state, changed, terminal, count }
 *
 * where `started`, `start`, `end`, `terminal` and the `others` are events as they came, `text` is the joined deltas,
 * `state` the thread's state after the run, and `changed` whether the run said anything about it. A run that failed
 * before its agent had said a word is shown as its failure alone, with neither `runId` nor `started`.
 */
export function tell(events, state = {}) {
  const runs = [];
  const problems = [];
  let run;
  for (const json of events) {
    const event = JSON.parse(json);
    const wrong = (why) => problems.push(`${why}: ${shortened(json)}`);
    if (event.type === "RUN_STARTED") {
      if (run && !run.terminal) wrong("a run starts within another");
      run = begun(event.runId, json, run?.state ?? state);
      runs.push(run);
      continue;
    }
    if (!run || run.terminal) {
      if (event.type !== "RUN_ERROR") {
        wrong("outside of a run");
        continue;
      }
      run = begun(undefined, undefined, run?.state ?? state);
      runs.push(run);
    }
    run.count += 1;
    const [, family, piece] = event.type.match(/^(TEXT_MESSAGE|TOOL_CALL)_(START|CONTENT|ARGS|END)$/) ?? [];
    if (family) {
      const streams = family === "TEXT_MESSAGE" ? run.texts : run.calls;
      const id = family === "TEXT_MESSAGE" ? event.messageId : event.toolCallId;
      const stream = streams.get(id);
      if (piece === "START") {
        if (stream) wrong("started twice");
        streams.set(id, { start: json, text: "", end: undefined });
      } else if (!stream) wrong("never started");
      else if (stream.end) wrong("ended before");
      else if (piece === "END") stream.end = json;
      else stream.text += event.delta;
    } else if (event.type === "STATE_SNAPSHOT") {
      run.state = event.snapshot;
      run.changed = true;
    } else if (event.type === "STATE_DELTA") {
      run.state = patched(run.state, event.delta);
      run.changed = true;
    } else if (event.type === "RUN_FINISHED" || event.type === "RUN_ERROR") {
      run.terminal = json;
    } else {
      run.others.push(json);
    }
  }
  return { runs, problems };
}

function begun(runId, started, state) {
  return {
    runId,
    started,
    texts: new Map(),
    calls: new Map(),
    others: [],
    state,
    changed: false,
    terminal: undefined,
    count: 1,
  };
}

/** The patches of the plans: `add` to the root, or at the end of a list there. */
function patched(state, operations) {
  const next = { ...state };
  for (const { op, path, value } of operations) {
    const [, name, end] = path.match(/^\/([^/]+)(\/-)?$/) ?? [];
    if (op !== "add" || !name) throw new Error(`not a patch of a plan: ${op} ${path}`);
    next[name] = end ? [...(next[name] ?? []), value] : value;
  }
  return next;
}

/** In what two tellings of the same run differ; nothing if they say the same. */
export function differences(told, expected) {
  return [...compare(told, expected, (a, b) => a === b), ...comparedEnds(told, expected)];
}

function comparedEnds(told, expected) {
  const found = [];
  if (told.terminal !== expected.terminal) found.push(unequal("the end of the run", told.terminal, expected.terminal));
  for (const family of ["texts", "calls"]) {
    for (const [id, { end }] of expected[family]) {
      const stream = told[family].get(id);
      if (stream && stream.end !== end) found.push(unequal(`the end of ${id}`, stream.end, end));
    }
  }
  for (const id of [...expected.texts.keys(), ...expected.calls.keys()]) {
    if (!told.texts.has(id) && !told.calls.has(id)) found.push(`${id} is missing`);
  }
  if (told.others.length < expected.others.length) {
    found.push(`${expected.others.length - told.others.length} events are missing, the first is ${shortened(expected.others[told.others.length])}`);
  }
  if (!isDeepStrictEqual(told.state, expected.state)) found.push(unequal("the state", told.state, expected.state));
  return found;
}

/** What is in a telling, perhaps of a part of the run, and not in the other. */
export function unfounded(part, whole) {
  const found = compare(part, whole, (a, b) => b.startsWith(a));
  if (part.terminal && part.terminal !== whole.terminal) found.push(unequal("the end of the run", part.terminal, whole.terminal));
  for (const family of ["texts", "calls"]) {
    for (const [id, { end }] of part[family]) {
      const stream = whole[family].get(id);
      if (end && stream && stream.end !== end) found.push(unequal(`the end of ${id}`, end, stream.end));
    }
  }
  return found;
}

function compare(part, whole, holds) {
  const found = [];
  if (part.started) {
    if (part.runId !== whole.runId) found.push(unequal("the run", part.runId, whole.runId));
    if (part.started !== whole.started) found.push(unequal("the start of the run", part.started, whole.started));
  }
  for (const family of ["texts", "calls"]) {
    for (const [id, { start, text }] of part[family]) {
      const stream = whole[family].get(id);
      if (!stream) {
        found.push(`${id} is unknown: ${shortened(start)}`);
        continue;
      }
      if (start !== stream.start) found.push(unequal(`the start of ${id}`, start, stream.start));
      if (!holds(text, stream.text)) found.push(unequal(`the text of ${id}`, text, stream.text));
    }
  }
  for (const [place, json] of part.others.entries()) {
    if (json !== whole.others[place]) {
      found.push(unequal(`event ${place} among those that are no text`, json, whole.others[place]));
      break;
    }
  }
  return found;
}

/**
 * Holds a run as it was kept against what its agent had said, of which any beginning may have been kept.
 * Returns `{ kept, problems }`: how many of the said events are in it, and what else there is to say.
 * `codes` are those of the `RUN_ERROR` which ends a run that was broken off. A `stopped` one may have finished as well.
 */
export function judge(kept, said, { state, codes, stopped = false }) {
  if (!kept.started) return { kept: 0, problems: ["the run is kept without its start"] };
  const count = keptCount(kept);
  if (count > said.length) {
    return { kept: count, problems: [`event ${count} is kept, but the agent said only ${said.length}`] };
  }
  const beginning = said.slice(0, count);
  // A run whose agent had not spoken is started by whoever closes it.
  const [expected] = tell(count ? beginning : [kept.started], state).runs;
  const problems = [];
  const agents = count ? JSON.parse(beginning[0]) : {};
  const { input, ...started } = JSON.parse(kept.started);
  if (count && JSON.stringify(started) !== JSON.stringify(agents)) {
    problems.push(unequal("the start of the run", JSON.stringify(started), beginning[0]));
  }
  expected.started = kept.started;
  if (!expected.terminal) close(expected, kept, { codes, stopped }, problems);
  return { kept: count, problems: [...problems, ...differences(kept, expected)] };
}

const CLOSERS = { REASONING_START: "REASONING_END", REASONING_MESSAGE_START: "REASONING_MESSAGE_END", STEP_STARTED: "STEP_FINISHED" };

/** What closes that of these events which is open, but texts and tool calls. */
function closersOf(events) {
  const open = new Set();
  for (const { type, messageId, stepName } of events.map((json) => JSON.parse(json))) {
    const closer = (end) => JSON.stringify({ type: end, messageId, stepName });
    if (CLOSERS[type]) open.add(closer(CLOSERS[type]));
    else open.delete(closer(type));
  }
  return [...open];
}

/** Adds to what was said the events that whoever closes the run must have put there. */
function close(expected, kept, { codes, stopped }, problems) {
  const made = (what, json, fields) => {
    const event = json && JSON.parse(json);
    const right = event && Object.entries(fields).every(([name, value]) => event[name] === value) && !("n" in event);
    if (!right || (event.code && !codes.includes(event.code))) problems.push(`${what} is not closed as it should be: ${shortened(json)}`);
    return json;
  };
  for (const [messageId, stream] of expected.texts) {
    if (!stream.end) stream.end = made(messageId, kept.texts.get(messageId)?.end, { type: "TEXT_MESSAGE_END", messageId });
  }
  const answered = new Set(expected.others.map((json) => JSON.parse(json)).filter(({ type }) => type === "TOOL_CALL_RESULT").map(({ toolCallId }) => toolCallId));
  const rest = kept.others.slice(expected.others.length);
  const results = rest.filter((json) => JSON.parse(json).type === "TOOL_CALL_RESULT");
  const invented = [];
  for (const [toolCallId, stream] of expected.calls) {
    if (!stream.end) stream.end = made(toolCallId, kept.calls.get(toolCallId)?.end, { type: "TOOL_CALL_END", toolCallId });
    if (!answered.has(toolCallId)) {
      invented.push(made(`the result of ${toolCallId}`, results.shift(), { type: "TOOL_CALL_RESULT", toolCallId, role: "tool" }));
    }
  }
  const finished = stopped && kept.terminal && JSON.parse(kept.terminal).type === "RUN_FINISHED";
  // A stopped run finishes, and clients want what it has opened closed before that.
  if (finished) invented.push(...closersOf(expected.others));
  for (const json of rest) {
    const place = invented.indexOf(json);
    if (place >= 0) expected.others.push(...invented.splice(place, 1));
  }
  expected.others.push(...invented);
  expected.terminal = made("the run", kept.terminal, { type: finished ? "RUN_FINISHED" : "RUN_ERROR" });
}

/** How many of the agent's events are in a run as it was kept. */
export function keptCount(run) {
  let highest = -1;
  const note = (n) => {
    if (Number.isInteger(n)) highest = Math.max(highest, n);
  };
  for (const { start, text, end } of [...run.texts.values(), ...run.calls.values()]) {
    note(JSON.parse(start).n);
    note(highestToken(text));
    if (end) note(JSON.parse(end).n);
  }
  for (const json of run.others) note(JSON.parse(json).n);
  if (run.changed) note(run.state[run.runId]?.at(-1));
  note(JSON.parse(run.started).n);
  if (run.terminal) note(JSON.parse(run.terminal).n);
  return highest + 1;
}

function unequal(what, told, expected) {
  const [a, b] = [told, expected].map((value) => (typeof value === "string" ? value : String(JSON.stringify(value))));
  let at = 0;
  while (at < Math.min(a.length, b.length) && a[at] === b[at]) at += 1;
  const from = Math.max(0, at - 30);
  return `${what} is, from ${from}, «${a.slice(from, from + 120)}» (${a.length}) and should be «${b.slice(from, from + 120)}» (${b.length})`;
}

function shortened(json) {
  return json?.length > 200 ? `${json.slice(0, 200)}…` : String(json);
}
