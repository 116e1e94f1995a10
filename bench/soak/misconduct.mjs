// How agents misbehave: each changes the plan of a run that would have gone well, and says how the run must then end.

/** The agent whose time-outs are short, and whose events must be small. */
export const IMPATIENT = "impatient";
/** The agent at whose address nobody listens. */
export const REFUSING = "refusing";
/** The largest event of the impatient agent, in bytes. */
export const LARGEST_EVENT = 256 * 1024;

/** Breaks off within the run, then does as `ending` says. */
function brokenOff(plan, random, ending, more) {
  const length = Math.max(1, Math.floor(plan.steps.length * random() * 0.8));
  return { codes: ["INCOMPLETE_STREAM"], ...plan, steps: plan.steps.slice(0, length), ending, ...more };
}

const frame = (event) => `data: ${JSON.stringify(event)}\n\n`;

/** By name: `(plan, random) => plan`, where the result has `codes` for how the run ends. */
export const misconduct = {
  "refuses the connection": (plan) => ({ ...plan, agent: REFUSING, codes: ["INCOMPLETE_STREAM"] }),
  "answers 500": (plan) => ({ ...plan, status: 500, codes: ["INCOMPLETE_STREAM"] }),
  "says nothing at all": (plan) => ({
    ...plan,
    agent: IMPATIENT,
    steps: [],
    ending: { then: "hang" },
    codes: ["AGENT_FIRST_EVENT_TIMEOUT"],
  }),
  "falls silent": (plan, random) =>
    brokenOff(plan, random, { then: "hang" }, { agent: IMPATIENT, codes: ["AGENT_IDLE_TIMEOUT", "AGENT_FIRST_EVENT_TIMEOUT"] }),
  "cuts the connection": (plan, random) => brokenOff(plan, random, { then: "cut" }, { lossy: true }),
  "ends too early": (plan, random) => brokenOff(plan, random, { then: "end" }),
  "ends within an event": (plan, random) => brokenOff(plan, random, { text: 'data: {"type":"CUS', then: "end" }),
  "sends broken JSON": (plan, random) => brokenOff(plan, random, { text: 'data: {"type": nonsense\n\n', then: "end" }),
  "sends an event out of order": (plan, random) =>
    brokenOff(plan, random, { text: frame({ type: "TEXT_MESSAGE_END", messageId: "nobody" }), then: "end" }),
  "sends too large an event": (plan, random) => {
    const text = frame({ type: "CUSTOM", name: "huge", value: "x".repeat(2 * LARGEST_EVENT) });
    return brokenOff(plan, random, { text, then: "end" }, { agent: IMPATIENT, codes: ["AGENT_EVENT_TOO_LARGE", "AGENT_IDLE_TIMEOUT", "AGENT_FIRST_EVENT_TIMEOUT"] });
  },
};

/** Little by little, but to the end. */
export function trickling(plan, random) {
  return { ...plan, steps: plan.steps.map((step) => ({ ...step, pause: random.between(30, 120) })) };
}
