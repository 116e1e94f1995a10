import assert from "node:assert/strict";
import { clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();

forEach(clients, "the agent's own error is shown with its message and code", async (client) => {
  const session = await client.open(started.runtime, { agent: "fails" });
  await session.say("hello");
  assert.deepEqual(
    session.errors.map(({ message, code }) => ({ message, code })),
    [{ message: "The model is out of words", code: "MODEL_ERROR" }],
  );
  assert.equal(session.answer, "This will go ");
  assert.equal(session.agent.isRunning, false);
});

forEach(clients, "an agent that answers HTTP 500 is shown with what it said", async (client) => {
  const session = await client.open(started.runtime, { agent: "broken" });
  await session.say("hello");
  assert.equal(session.errors.length, 1);
  assert.match(session.errors[0].message, /500.*quota exhausted/s);
  assert.equal(session.types.at(-1), "RUN_ERROR");
});

forEach(clients, "an agent whose connection breaks is an error, and its message is closed", async (client) => {
  const session = await client.open(started.runtime, { agent: "cut" });
  await session.say("hello");
  assert.equal(session.errors.length, 1);
  assert.deepEqual(session.types.slice(-2), ["TEXT_MESSAGE_END", "RUN_ERROR"]);
  assert.equal(session.answer, "Half a ");
});

forEach(clients, "an agent that just stops talking is an error, and its message is closed", async (client) => {
  const session = await client.open(started.runtime, { agent: "unfinished" });
  await session.say("hello");
  assert.deepEqual(session.errors.map(({ code }) => code), ["INCOMPLETE_STREAM"]);
  assert.deepEqual(session.types.slice(-2), ["TEXT_MESSAGE_END", "RUN_ERROR"]);
  assert.equal(session.answer, "And then");
});

forEach(clients, "the thread can be run again after an error", async (client) => {
  const session = await client.open(started.runtime, { agent: "fails" });
  await session.say("hello");
  await session.say("please");
  assert.equal(session.answer, "Fine now.");
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.equal(session.errors.length, 1);
});

forEach(cores, "core says which agent failed and how", async (client) => {
  const session = await client.open(started.runtime, { agent: "fails" });
  const reported = [];
  session.core.subscribe({ onError: ({ code, context }) => void reported.push([code, context.agentId, context.runtimeErrorCode]) });
  await session.say("hello");
  assert.deepEqual(reported, [["agent_run_error_event", "fails", "MODEL_ERROR"]]);
});
