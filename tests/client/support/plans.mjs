// What an agent will say, decided beforehand: events that are numbered in a way that survives compaction.
//
// The event at place `n` (from 0) says so: deltas of texts and tool calls hold the token `⟨n⟩`, a state change adds `n` to
// the run's list in the state, and every other event has a field `n`. So whatever is left of a run tells how far it came.

const WORDS = ["so", "the", "cat", "sat", "élan", "漢字", "🙂", '"quoted"', "back\\slash", "line\nbreak", "\u2028", "</script>"];

const token = (n) => `⟨${n}⟩`;

/** The highest number that a text tells, or -1. */
export function highestToken(text) {
  let highest = -1;
  for (const [, n] of text.matchAll(/⟨(\d+)⟩/g)) highest = Math.max(highest, Number(n));
  return highest;
}

/**
 * A plan: `{ silence, steps: [{ pause, events: [json, …] }] }`, the events as the agent will write them.
 * `size` is about how many events; `hurry` leaves the pauses out.
 */
export function makePlan(random, { threadId, runId, size, hurry = false }) {
  const steps = [];
  let burst = [];
  let n = 0;
  let opened = 0;
  const say = (event, tail = { n }) => {
    burst.push(JSON.stringify({ ...event, ...tail }));
    n += 1;
    if (random.chance(0.4)) flush();
  };
  const flush = () => {
    if (burst.length) steps.push({ pause: hurry ? 0 : random.between(0, 8), events: burst });
    burst = [];
  };
  const words = () => Array.from({ length: random.between(1, 4) }, () => random.pick(WORDS)).join(" ");
  let listed = false;
  const change = () => {
    const patch = listed ? { op: "add", path: `/${runId}/-`, value: n } : { op: "add", path: `/${runId}`, value: [n] };
    listed = true;
    say({ type: "STATE_DELTA", delta: [patch] }, {});
  };

  /** Kinds of talk; each gives the functions that say its pieces, one after the other. */
  const talks = {
    text() {
      const messageId = `${runId}-text-${opened++}`;
      return [
        () => say({ type: "TEXT_MESSAGE_START", messageId, role: "assistant" }),
        ...Array.from({ length: random.between(1, 25) }, () => () =>
          say({ type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${token(n)}${words()} ` }, {}),
        ),
        () => say({ type: "TEXT_MESSAGE_END", messageId }),
      ];
    },
    tool() {
      const toolCallId = `${runId}-call-${opened++}`;
      const args = (delta) => say({ type: "TOOL_CALL_ARGS", toolCallId, delta }, {});
      return [
        () => say({ type: "TOOL_CALL_START", toolCallId, toolCallName: "look_up" }),
        () => args(`{"query":"${token(n)}`),
        ...Array.from({ length: random.between(0, 8) }, () => () => args(`${token(n)}piece `)),
        () => args(`${token(n)}"}`),
        () => say({ type: "TOOL_CALL_END", toolCallId }),
        () =>
          say({
            type: "TOOL_CALL_RESULT",
            messageId: `${toolCallId}-answer`,
            toolCallId,
            role: "tool",
            content: `found ${words()}`,
          }),
      ];
    },
    custom: () => [() => say({ type: "CUSTOM", name: "mark", value: { words: words(), nothing: null, ratio: 1.5 } })],
    attachment: () => [
      () => say({ type: "CUSTOM", name: "attachment", value: String(n).repeat(random.between(4_000, 30_000)) }),
    ],
    state: () => Array.from({ length: random.between(1, 3) }, () => change),
    step() {
      const stepName = `step ${opened++}`;
      return [() => say({ type: "STEP_STARTED", stepName }), () => say({ type: "STEP_FINISHED", stepName })];
    },
    reasoning() {
      const messageId = `${runId}-reasoning-${opened++}`;
      return [
        () => say({ type: "REASONING_START", messageId }),
        () => say({ type: "REASONING_MESSAGE_START", messageId, role: "reasoning" }),
        () => say({ type: "REASONING_MESSAGE_CONTENT", messageId, delta: words() }),
        () => say({ type: "REASONING_MESSAGE_END", messageId }),
        () => say({ type: "REASONING_END", messageId }),
      ];
    },
    activity() {
      const messageId = `${runId}-activity-${opened++}`;
      const about = { messageId, activityType: "search" };
      return [
        () => say({ type: "ACTIVITY_SNAPSHOT", ...about, content: { found: 0 }, replace: true }),
        () => say({ type: "ACTIVITY_DELTA", ...about, patch: [{ op: "replace", path: "/found", value: n }] }),
      ];
    },
  };
  const kinds = ["text", "text", "text", "tool", "custom", "state", "step", "reasoning", "activity"];

  say({ type: "RUN_STARTED", threadId, runId });
  const open = [];
  while (n < size || open.length) {
    // Often several at once, so that their pieces mix.
    if (n < size && (!open.length || (open.length < 3 && random.chance(0.15)))) {
      open.push(talks[random.chance(0.02) ? "attachment" : random.pick(kinds)]());
    }
    const talk = random.pick(open);
    talk.shift()();
    if (!talk.length) open.splice(open.indexOf(talk), 1);
  }
  say(
    random.chance(0.9)
      ? { type: "RUN_FINISHED", threadId, runId }
      : { type: "RUN_ERROR", message: "The model is out of words", code: "MODEL_ERROR" },
  );
  flush();
  return { silence: hurry ? 0 : random.chance(0.15) ? random.between(100, 400) : random.between(0, 10), steps };
}

/** What a user says: a short text, or one with an attachment, which may be one that was sent before. */
export function makeMessage(random, id, attachments) {
  if (!random.chance(0.12)) return { id, role: "user", content: `${id}: ${random.pick(WORDS)}` };
  const value = attachments.length && random.chance(0.5) ? random.pick(attachments) : `${id} `.repeat(random.between(500, 5_000));
  attachments.push(value);
  return {
    id,
    role: "user",
    content: [
      { type: "text", text: `${id}: look at this` },
      { type: "document", source: { type: "data", value, mimeType: "text/plain" } },
    ],
  };
}
