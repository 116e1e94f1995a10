// Clients that do not behave: what they send is no request, or not all of one, or far too many.

import { connect } from "node:net";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

export const BODY_LIMIT = 8 * 1024 * 1024;

/** Sends `text` on a connection of its own and gives what comes back within `ms`, until either side closes. */
function raw(runtime, text, ms) {
  const { hostname, port } = new URL(runtime.url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    setTimeout(() => socket.destroy(), ms);
  });
}

const head = (headers, more) =>
  ["POST /api/copilotkit/agent/planned/run HTTP/1.1", "host: localhost", "content-type: application/json", ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), ...more, "", ""].join("\r\n");

/**
 * By name: what a stranger does. `expect` complains of what does not hold, `answered` of another status; no answer
 * is none where the process ends just then, so those that came are counted. */
const deeds = {
  async "half a head"({ runtime, random }) {
    await raw(runtime, "POST /api/copilotkit/agent/planned/run HTTP/1.1\r\nhost: loc", random.between(100, 3000));
  },
  async "half a body"({ runtime, user, random }) {
    await raw(runtime, `${head(user.headers, ["content-length: 5000"])}{"threadId":"`, random.between(100, 3000));
  },
  async "bytes that are no request"({ runtime, random, answered }) {
    answered(await raw(runtime, randomBytes(random.between(10, 2000)), 1000), 400);
  },
  async "a body that is no JSON"({ runtime, user, answered }) {
    const body = '{"threadId": 1, "messages": [';
    answered(await raw(runtime, head(user.headers, [`content-length: ${body.length}`, "connection: close"]) + body, 10_000), 400);
  },
  async "a body over the limit"({ runtime, user, answered }) {
    answered(await raw(runtime, head(user.headers, [`content-length: ${2 * BODY_LIMIT}`, "connection: close"]), 5000), 413);
  },
  async "a key that is none"({ runtime, answered }) {
    const stranger = { "x-api-key": `ckr_${"0".repeat(64)}` };
    answered(await raw(runtime, head(stranger, ["content-length: 0", "connection: close"]), 10_000), 401);
  },
  async "idle connections"({ runtime, random }) {
    const time = random.between(1000, 20_000);
    await Promise.all(Array.from({ length: 20 }, () => raw(runtime, "", time)));
  },
  async "too many requests"({ runtime, greedy, tally, expect }) {
    const statuses = [];
    const ask = async () => {
      for (let n = 0; n < 50; n += 1) {
        const response = await fetch(`${runtime.url}/info`, { headers: greedy.headers }).catch(() => undefined);
        await response?.text();
        if (!response) return;
        statuses.push(response.status);
        if (response.status === 429) {
          tally.did("requests answered 429");
          expect(Number(response.headers.get("retry-after")) > 0, "429 without Retry-After");
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, ask));
    expect(statuses.every((status) => [200, 429].includes(status)), `statuses ${[...new Set(statuses)]}`);
  },
};

/** Does one thing after the other until the soak is over. */
export async function misbehave(soak, greedy) {
  const random = soak.random.fork();
  const { tally } = soak;
  while (!soak.over) {
    const name = random.pick(Object.keys(deeds));
    const expect = (holds, text) => holds || tally.broken("wrong", name, text);
    const answered = (answer, status) => {
      if (answer) tally.did(`answers ${status} to ${name}`);
      expect(!answer || answer.startsWith(`HTTP/1.1 ${status}`), `was answered ${answer.slice(0, 80)}`);
    };
    tally.did(`clients: ${name}`);
    await deeds[name]({ runtime: soak.fleet.any(random), user: random.pick(soak.users), random, tally, greedy, expect, answered });
    await sleep(random.between(50, 400));
  }
}
