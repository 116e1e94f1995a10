import assert from "node:assert/strict";
import { test } from "node:test";
import { clients, core, cores } from "../support/clients.mjs";
import { forEach, useDemoRuntime } from "../support/harness.mjs";
import { within } from "../support/wait.mjs";
import { external } from "../support/runtime.mjs";

const started = external ? undefined : useDemoRuntime();
const open = (client, options) => client.open(started.runtime, { agent: "default", ...options });
const statement = (text) => `without configuration, ${text}`;
const demo = external ? () => test("the demo agent needs a runtime of our own", { skip: true }, () => {}) : forEach;

demo(cores, statement("there is one agent, and it is called default"), async (client) => {
  const { core } = await open(client);
  assert.deepEqual(Object.keys(core.agents), ["default"]);
});

demo(clients, statement("the agent answers word by word"), async (client) => {
  const session = await open(client);
  await session.say("Hello there");
  const words = session.events.filter((event) => event.type === "TEXT_MESSAGE_CONTENT");
  assert.ok(words.length > 1, `expected several pieces, got ${words.length}`);
  assert.equal(words.map((event) => event.delta).join(""), session.answer);
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(session.errors, []);
});

demo(clients, statement("a conversation survives a reload"), async (client) => {
  const session = await open(client);
  await session.say("Hello there");
  await session.say("And again");
  const reloaded = await open(client, { threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, session.transcript);
  assert.equal(reloaded.messages.length, 4);
});

demo(clients, statement("the agent calls the frontend tool it is offered and uses the result"), async (client) => {
  let called = 0;
  const tool = {
    name: "lookUp",
    description: "Looks something up",
    schema: { type: "object", properties: { query: { type: "string" } }, required: ["query"] },
    handler: async () => {
      called += 1;
      return "the-result-of-the-tool";
    },
  };
  const session = await open(client, { tools: [tool] });
  await session.say("Please use the tool");
  assert.equal(called, 1);
  assert.ok(session.messages.some((message) => message.role === "tool"));
  assert.match(session.answer, /the-result-of-the-tool/);
  assert.equal(session.types.filter((type) => type === "RUN_FINISHED").length, 2);
  assert.deepEqual(session.errors, []);
});

demo(clients, statement("the agent shares a state"), async (client) => {
  const session = await open(client);
  await session.say("Show me the state");
  assert.ok(session.types.includes("STATE_SNAPSHOT"), session.types.join());
  assert.ok(session.types.includes("STATE_DELTA"), session.types.join());
  assert.ok(Object.keys(session.state).length > 0);
  assert.deepEqual(session.errors, []);
});

demo(clients, statement("the agent shows its reasoning"), async (client) => {
  const session = await open(client);
  await session.say("Think about it and reason");
  const reasoning = session.messages.find((message) => message.role === "reasoning");
  assert.ok(reasoning?.content.length > 0, session.types.join());
  assert.ok(session.answer.length > 0);
  assert.deepEqual(session.errors, []);
});

demo(clients, statement("the agent asks for approval and goes on once it is given"), async (client) => {
  const session = await open(client);
  await session.say("Interrupt me so that I can approve");
  assert.ok(session.agent.pendingInterrupts.length > 0, JSON.stringify(session.events.at(-1)));

  const before = session.messages.length;
  const resume = session.agent.pendingInterrupts.map(({ id }) => ({
    interruptId: id,
    status: "resolved",
    payload: { approved: true },
  }));
  await session.run({ resume });
  assert.ok(session.messages.length > before);
  assert.ok(session.answer.length > 0);
  assert.deepEqual(session.agent.pendingInterrupts, []);
  assert.deepEqual(session.errors, []);
});

demo([core], statement("the agent can be stopped"), async (client) => {
  const session = await open(client);
  const { done } = await session.begin("Hello there, tell me something");
  session.stop();
  await within(done, "the stopped run to end");
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(session.errors, []);
});
