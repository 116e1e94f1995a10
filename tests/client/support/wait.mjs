// Waiting for something to become true, with a deadline and a readable failure.

/** Nothing takes so long, however busy the machine: it will not happen. */
export const DEADLINE_MS = 60_000;

/** Resolves with the first truthy answer of `condition`; fails after `timeout` with `what` in the message. */
export async function until(condition, what, timeout = DEADLINE_MS) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms in vain for: ${describe(what)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The promise's own outcome, or a failure naming `what` when it takes too long. */
export function within(promise, what, timeout = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${timeout} ms: ${describe(what)}`)), timeout);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function describe(what) {
  return typeof what === "function" ? what() : what;
}
