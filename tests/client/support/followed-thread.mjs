// A thread and everybody who watches it: what each was shown, and whether it is what was kept.

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { inputOf, readEvents } from "./sse.mjs";
import { differences, judge, tell, unfounded } from "./story.mjs";

export const AGENT = "planned";
export const INTERRUPTED = "RUN_INTERRUPTED";
export const SHUTDOWN = "RUNTIME_SHUTDOWN";

/**
 * What is wrong, by kind: `lost` (shown or taken in, but not kept), `doubled` (shown twice, or not in order), `stuck`
 * (a thread that takes no run), `wrong` (anything else).
 */
export class Findings {
  list = [];

  add(kind, thread, text) {
    this.list.push({ kind, text: `${thread}: ${text}` });
  }

  count(kind) {
    return this.list.filter((finding) => finding.kind === kind).length;
  }

  /** The first few, for people. */
  toString() {
    const first = this.list.slice(0, 8).map(({ kind, text }) => `  ${kind}: ${text}`);
    return [`${this.list.length} findings`, ...first].join("\n");
  }
}

/** What a process says that is about to end: about itself, not about the thread. A run's own end has an id where ids are asked for. */
function isFarewell({ id, data }) {
  if (id !== undefined || !data.includes(SHUTDOWN)) return false;
  const { type, code } = JSON.parse(data);
  return type === "RUN_ERROR" && code === SHUTDOWN;
}

/** Follows a thread across connections, going on each time behind the last event it got. */
export class Follower {
  /** Everything it was shown, as one log. */
  frames = [];

  constructor(threadId, random, headers = {}) {
    this.threadId = threadId;
    this.random = random;
    this.headers = headers;
  }

  /** Connects once; leaves after some events, or some time. Resolves with how it ended, as `readEvents` does. */
  async follow(runtime, { events = Infinity, ms, slow } = {}) {
    const body = inputOf(this.threadId, "connecting");
    const headers = { ...this.headers };
    const last = this.frames.findLast(({ id }) => id)?.id ?? "";
    if (last && this.random.chance(0.5)) headers["last-event-id"] = last;
    else body.lastSeenEventId = last;
    let count = 0;
    const reader = readEvents(`${runtime.url}/agent/${AGENT}/connect`, body, {
      headers,
      slow,
      onFrame: (frame) => {
        if (!isFarewell(frame)) this.frames.push(frame);
        count += 1;
        return count < events;
      },
    });
    const timer = ms === undefined ? undefined : setTimeout(reader.leave, ms);
    const how = await reader.done;
    clearTimeout(timer);
    return how;
  }

  /** Holds its log against the thread's runs as they were kept. `whole`: it has caught up. */
  check(runs, findings, { whole, failures = new Set() }) {
    const say = (kind, text) => findings.add(kind, this.threadId, `a follower: ${text}`);
    const ids = this.frames.filter(({ data }) => !failures.has(data)).map(({ id }) => id);
    if (ids.some((id) => !id)) say("wrong", "an event without an id");
    if (new Set(ids).size < ids.length) say("doubled", `an id came twice: ${ids.find((id, at) => ids.indexOf(id) < at)}`);
    checkTold(this.frames, runs, { whole, failures }, say);
  }
}

/** Somebody who connects without a cursor, and is told everything from the start. */
export class Watcher {
  frames = [];

  constructor(threadId, headers = {}) {
    this.threadId = threadId;
    this.headers = headers;
  }

  watch(runtime, { slow } = {}) {
    const options = { headers: this.headers, slow };
    this.reader = readEvents(`${runtime.url}/agent/${AGENT}/connect`, inputOf(this.threadId, "watching"), options);
    this.frames = this.reader.frames;
    return this.reader.done;
  }

  check(runs, findings, { whole, failures = new Set() }) {
    const say = (kind, text) => findings.add(kind, this.threadId, `a watcher: ${text}`);
    if (this.frames.some(({ id }) => id !== undefined)) say("wrong", "an id that nobody asked for");
    // Whether its last event ends the run or the connection cannot be told.
    const frames = this.frames.length && isFarewell(this.frames.at(-1)) ? this.frames.slice(0, -1) : this.frames;
    checkTold(frames, runs, { whole, failures }, say);
  }
}

function checkTold(frames, kept, { whole, failures }, say) {
  const told = tell(frames.map(({ data }) => data));
  const { problems } = told;
  const runs = told.runs.filter(({ started, terminal }) => started || !failures.has(terminal));
  for (const problem of problems) say("doubled", problem);
  if (runs.length > kept.length || (whole && runs.length < kept.length)) {
    return say("lost", `was told ${runs.length} runs, ${kept.length} are kept`);
  }
  for (const [place, run] of runs.entries()) {
    const complete = whole || place < runs.length - 1;
    const found = complete ? differences(run, kept[place]) : unfounded(run, kept[place]);
    for (const text of found) say("lost", `run ${run.runId}, ${text}`);
  }
}

/** A thread, its runs as its clients saw them, and as they were kept. */
export class FollowedThread {
  /** The runs that are over and were found kept, in the form `tell` gives them, with `digest`. */
  kept = [];
  /** The runs that were asked for since: `{ runId, message, sent, over }`, and `reader` if we read the answer. */
  asked = [];
  followers = [];
  watchers = [];
  /** Events that were all there was to show of a run, as it failed before its agent had spoken. They are not kept. */
  failures = new Set();
  /** What the clients hold as the conversation. */
  messages = [];
  received = 0;
  /** Ids of what users have said in runs that are kept. A run that is not kept leaves its message to a later one. */
  #known = new Set();

  /** `headers` go with every request, and say whose thread it is. */
  constructor(id, agent, random, headers = {}) {
    this.id = id;
    this.agent = agent;
    this.random = random;
    this.headers = headers;
    this.runCount = 0;
  }

  /**
   * Asks for a run; the agent will say what was planned. A plan may name another agent, and the codes its run may end with
   * (`codes`), perhaps without the last events (`lossy`). Set `stopped` of the answer if the run is stopped.
   */
  run(runtime, message, plan, { onFrame, slow, forwardedProps = {} } = {}) {
    const { runId, agent = AGENT, codes = [], lossy = false } = plan;
    this.agent.plans.set(runId, plan);
    this.messages.push(message);
    // Some clients send the whole conversation, others what is new.
    const sent = this.random.chance(0.5) ? [...this.messages] : [message];
    const run = { runId, message, sent, codes, lossy, stopped: false, over: undefined, firstEventAt: undefined };
    run.reader = readEvents(`${runtime.url}/agent/${agent}/run`, { ...inputOf(this.id, runId, sent), forwardedProps }, {
      headers: this.headers,
      slow,
      onFrame: (frame) => {
        run.firstEventAt ??= performance.now();
        return onFrame?.(frame);
      },
    });
    run.done = run.reader.done.then((how) => {
      run.over = how;
      return run;
    });
    this.asked.push(run);
    return run;
  }

  /** Takes note of a run that somebody else asked for, and saw to its end. */
  note(runId, message) {
    this.messages.push(message);
    this.asked.push({ runId, message, sent: [message], codes: [], over: "end" });
  }

  /** Forgets the last run asked for, which was refused. */
  takeBack(run) {
    this.asked = this.asked.filter((asked) => asked !== run);
    this.messages = this.messages.filter((message) => message !== run.message);
  }

  nextRunId() {
    return `${this.id}-run-${this.runCount++}`;
  }

  follower() {
    const follower = new Follower(this.id, this.random, this.headers);
    this.followers.push(follower);
    return follower;
  }

  /** Somebody follows the thread, with hang-ups, as long as there is something to follow. */
  async follow(process, gone) {
    const idle = this.followers.find((follower) => !follower.busy);
    const follower = idle && this.followers.length > 1 ? idle : this.follower();
    follower.busy = true;
    await new Promise((resolve) => setTimeout(resolve, this.random.between(0, 40)));
    let how = "left";
    while (how === "left" && !gone()) {
      const hangUp = this.random.chance(0.7);
      how = await follower.follow(process(), { events: hangUp ? this.random.between(1, 40) : Infinity });
    }
    follower.busy = false;
  }

  watcher() {
    const watcher = new Watcher(this.id, this.headers);
    this.watchers.push(watcher);
    return watcher;
  }

  /** Whether a run was broken off, as its client saw it. */
  get broken() {
    return this.asked.some((run) => run.over !== "end");
  }

  /**
   * Reads the thread and holds it against what everybody saw. Nothing may run on it meanwhile.
   * Afterwards the runs count as kept, and must stay as they are, byte for byte.
   */
  async verify(runtime, findings) {
    const say = (kind, text) => findings.add(kind, this.id, text);
    // Read first while another process may still find out that the run is broken off, it comes as it was said; then as
    // it is kept for good.
    if (this.broken) await this.#read(runtime, say);
    const frames = await this.#read(runtime, say);
    const groups = byRun(frames.map(({ data }) => data));
    for (const [place, run] of this.kept.entries()) {
      if (digest(groups[place] ?? []) !== run.digest) say("lost", `run ${run.runId} is no longer what it was`);
    }
    const fresh = groups.slice(this.kept.length);
    const { runs, problems } = tell(fresh.flat(), this.kept.at(-1)?.state);
    for (const problem of problems) say("wrong", `as kept, ${problem}`);

    const asked = [...this.asked];
    for (const [place, run] of runs.entries()) {
      while (asked.length && asked[0].runId !== run.runId) this.#missing(asked.shift(), say);
      const ask = asked.shift();
      if (!ask) say("wrong", `run ${run.runId} was never asked for, or stands in the wrong place`);
      else this.#checkRun(run, ask, say);
      this.kept.push(Object.assign(run, { message: ask?.message, digest: digest(fresh[place]) }));
    }
    for (const ask of asked) this.#missing(ask, say);
    this.received += this.asked.reduce((sum, { reader }) => sum + (reader?.frames.length ?? 0), 0);
    for (const { runId } of this.asked) {
      this.agent.plans.delete(runId);
      this.agent.runs.delete(runId);
    }
    this.asked = [];

    const { failures } = this;
    for (const watcher of this.watchers) watcher.check(this.kept, findings, { whole: false, failures });
    this.received += this.watchers.reduce((sum, watcher) => sum + watcher.frames.length, 0);
    this.watchers = [];
    for (const follower of this.followers) {
      follower.check(this.kept, findings, { whole: false, failures });
      if (!this.random.chance(0.7)) continue; // and some stay behind for now
      await follower.follow(runtime);
      follower.check(this.kept, findings, { whole: true, failures });
    }
    await this.#checkMessages(runtime, say);
  }

  /** What users have said on it, as it was kept. */
  get userMessageIds() {
    return this.kept.flatMap((run) => userMessages(run).map(({ id }) => id));
  }

  /** How many events all its clients have received. */
  get receivedInAll() {
    return this.received + this.followers.reduce((sum, follower) => sum + follower.frames.length, 0);
  }

  /** Nobody will run it again: of what was kept, remembers enough to see whether it changes. */
  forget() {
    this.kept = this.kept.map(({ runId, digest }) => ({ runId, digest }));
    this.followers = [];
    this.messages = [];
  }

  /** Whether everything is still as it was found. */
  async verifyUnchanged(runtime, findings) {
    const say = (kind, text) => findings.add(kind, this.id, text);
    const groups = byRun((await this.#read(runtime, say)).map(({ data }) => data));
    if (!isDeepStrictEqual(groups.map(digest), this.kept.map((run) => run.digest))) say("lost", "the thread has changed");
  }

  async #read(runtime, say) {
    const reader = readEvents(`${runtime.url}/agent/${AGENT}/connect`, inputOf(this.id, "reading"), { headers: this.headers });
    const how = await reader.done;
    if (how !== "end") say("wrong", `reading the thread ended with «${how}»`);
    return reader.frames;
  }

  /**
   * A run that is not in the history. Nobody may have seen anything of it, its agent included, unless all there was to see
   * is that it failed as planned.
   */
  #missing(ask, say) {
    const frames = ask.reader?.frames;
    const [alone, more] = frames ?? [];
    if (alone && !more && ask.codes.includes(JSON.parse(alone.data).code)) {
      this.failures.add(alone.data);
      this.messages = this.messages.filter((message) => message !== ask.message);
      return;
    }
    // A process about to end takes no run.
    const refused = frames?.length === 1 && isFarewell(frames[0]);
    const shown = refused ? 0 : (frames?.length ?? Infinity);
    const called = this.agent.runs.get(ask.runId);
    // It failed as planned before its agent had spoken, and the runtime was gone before it could say so.
    const failedUnseen = ask.codes.length > 0 && ask.over === "cut" && (ask.lossy || !called?.said.length);
    if (shown) say("lost", `run ${ask.runId} (${ask.over}) is not kept, and ${shown} events of it were shown: ${alone?.data.slice(0, 300)}`);
    else if (called && !failedUnseen) {
      say("lost", `run ${ask.runId} (${ask.over}) is not kept, and its agent was called and said ${called.said.length} events`);
    }
    this.messages = this.messages.filter((message) => message !== ask.message);
  }

  #checkRun(run, ask, say) {
    const said = this.agent.runs.get(run.runId)?.said ?? [];
    const { kept, problems } = judge(run, said, {
      state: this.kept.at(-1)?.state,
      codes: [INTERRUPTED, SHUTDOWN, ...ask.codes],
      stopped: ask.stopped,
    });
    for (const problem of problems) say("wrong", `run ${run.runId} as kept, ${problem}`);
    const ended = ask.over === "end";
    const mayLose = ask.stopped || ask.lossy || JSON.parse(run.terminal).code === SHUTDOWN;
    if (ended && kept < said.length && !mayLose) {
      say("lost", `run ${run.runId} had ended with ${said.length} events, ${kept} are kept`);
    }
    if (ask.reader) {
      const seen = ask.reader.frames.map(({ data }) => data);
      const altered = seen.slice(0, kept).findIndex((json, place) => json !== (place ? said[place] : run.started));
      if (altered >= 0) say("lost", `event ${altered} of run ${run.runId} was shown as ${seen[altered].slice(0, 200)}`);
      const told = tell(seen, this.kept.at(-1)?.state);
      for (const problem of told.problems) say("doubled", `as shown to who asked, ${problem}`);
      for (const text of told.runs.flatMap((shown) => (ended ? differences : unfounded)(shown, run))) {
        say("lost", `run ${run.runId}, of which ${kept} events are kept and ${seen.length} were shown: ${text}`);
      }
      if (ended && !seen.length) say("lost", `run ${run.runId} ended without being shown`);
    }

    const expected = ask.sent.filter(({ id }) => !this.#known.has(id));
    const messages = userMessages(run);
    for (const { id } of [ask.message, ...messages]) this.#known.add(id);
    if (!isDeepStrictEqual(messages, expected)) {
      const shortened = (list) => JSON.stringify(list).slice(0, 300);
      say("lost", `the messages of run ${run.runId} are ${shortened(messages)}, and should be ${shortened(expected)}`);
    }
  }

  async #checkMessages(runtime, say) {
    const url = `${runtime.url}/threads/${encodeURIComponent(this.id)}/messages`;
    const response = await fetch(url, { headers: this.headers });
    const { messages } = await response.json();
    const ids = messages.filter(({ role }) => role === "user").map(({ id }) => id);
    const expected = this.userMessageIds;
    if (!isDeepStrictEqual(ids, expected)) say("lost", `the user's messages are ${ids}, and should be ${expected}`);
    const contents = new Map(messages.map(({ id, content }) => [id, content ?? ""]));
    for (const [id, { text }] of this.kept.flatMap((run) => [...run.texts])) {
      if (contents.get(id) !== text) say("lost", `message ${id} is «${contents.get(id)}»`);
    }
  }
}

/** What a user said in a run. Clients send other messages too, such as the assistant's tool calls as they have made them up. */
function userMessages(run) {
  return (JSON.parse(run.started).input?.messages ?? []).filter(({ role }) => role === "user");
}

/** The events of a thread, run by run. */
function byRun(events) {
  const groups = [];
  for (const json of events) {
    if (JSON.parse(json).type === "RUN_STARTED" || !groups.length) groups.push([]);
    groups.at(-1).push(json);
  }
  return groups;
}

function digest(events) {
  return createHash("sha256").update(events.join("\n")).digest("hex");
}
