// An in-process agent that plays what `forwardedProps` of the request says.
import { AbstractAgent, EventType } from "@ag-ui/client";
import { Observable } from "rxjs";

/** The settings of one run, with the defaults of every server of the comparison. */
function settings(props) {
  return {
    deltas: 20,
    messages: 1,
    deltaBytes: 16,
    delayMs: 0,
    stamp: false,
    yieldEvery: 0,
    ...props,
  };
}

/** Unix time in µs, 16 digits. */
const now = () => String(Math.trunc((performance.timeOrigin + performance.now()) * 1000));

export class ScriptedAgent extends AbstractAgent {
  run(input) {
    return new Observable((subscriber) => {
      let over = false;
      this.stop = () => {
        over = true;
        subscriber.complete();
      };
      play(input, subscriber, () => over).catch((error) => subscriber.error(error));
      return () => {
        over = true;
      };
    });
  }

  abortRun() {
    this.stop?.();
  }
}

/** Runs synchronously up to its first pause: without pauses it never yields. */
async function play({ threadId, runId, forwardedProps }, out, isOver) {
  const { deltas, messages, deltaBytes, delayMs, stamp, yieldEvery } = settings(forwardedProps);
  const text = "x".repeat(deltaBytes);
  const start = performance.now();
  let k = 0;

  out.next({ type: EventType.RUN_STARTED, threadId, runId });
  for (let m = 1; m <= messages; m++) {
    const messageId = `${runId}-m${m}`;
    out.next({ type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" });
    for (let d = 0; d < deltas; d++) {
      if (delayMs > 0) await until(start + k * delayMs);
      if (isOver()) return;
      const delta = stamp ? `${now()} ${text}` : text;
      out.next({ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta });
      k += 1;
      if (yieldEvery > 0 && k % yieldEvery === 0) await new Promise(setImmediate);
    }
    out.next({ type: EventType.TEXT_MESSAGE_END, messageId });
  }
  out.next({ type: EventType.RUN_FINISHED, threadId, runId });
  out.complete();
}

function until(due) {
  // A longer delay than the platform's timers can hold waits as long as they can.
  const wait = Math.min(due - performance.now(), 2 ** 31 - 1);
  return wait > 0 ? new Promise((done) => setTimeout(done, wait)) : undefined;
}
