import assert from "node:assert/strict";
import { clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();

/** A frontend tool that remembers how it was called. */
function weatherTool() {
  const calls = [];
  return {
    calls,
    name: "weather",
    description: "Tells the weather",
    schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    handler: async (args) => {
      calls.push(args);
      return `sunny in ${args.city}`;
    },
  };
}

forEach(clients, "the agent calls a frontend tool and uses its result in a follow-up run", async (client) => {
  const tool = weatherTool();
  const session = await client.open(started.runtime, { agent: "tool", tools: [tool] });
  await session.say("what is the weather?");

  assert.deepEqual(tool.calls, [{ city: "Paris" }]);
  assert.equal(session.answer, "The tool said: sunny in Paris");
  assert.deepEqual(session.messages.map((message) => message.role), ["user", "assistant", "tool", "assistant"]);
  const [, assistant, result] = session.messages;
  assert.equal(assistant.toolCalls.length, 1);
  assert.equal(assistant.toolCalls[0].function.name, "weather");
  assert.deepEqual(JSON.parse(assistant.toolCalls[0].function.arguments), { city: "Paris" });
  assert.equal(result.toolCallId, assistant.toolCalls[0].id);
  assert.equal(session.types.filter((type) => type === "RUN_FINISHED").length, 2);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "the agent is offered the tool as the client described it", async (client) => {
  const tool = weatherTool();
  const session = await client.open(started.runtime, { agent: "tool", tools: [tool] });
  await session.say("what is the weather?");

  const { input } = await started.agents.arrived("tool", session.threadId);
  assert.deepEqual(input.tools, [{ name: tool.name, description: tool.description, parameters: tool.schema }]);
});

forEach(clients, "a reloaded client sees tool call, result and answer once, and calls nothing again", async (client) => {
  const session = await client.open(started.runtime, { agent: "tool", tools: [weatherTool()] });
  await session.say("what is the weather?");

  const tool = weatherTool();
  const reloaded = await client.open(started.runtime, { agent: "tool", threadId: session.threadId, tools: [tool] });
  await reloaded.restore();
  assert.deepEqual(reloaded.messages.map(essence), session.messages.map(essence));
  assert.deepEqual(tool.calls, []);
  assert.deepEqual(reloaded.errors, []);
});

forEach(cores, "a handler that fails is reported to the agent, not lost", async (client) => {
  const tool = { ...weatherTool(), handler: async () => { throw new Error("no barometer"); } };
  const session = await client.open(started.runtime, { agent: "tool", tools: [tool] });
  await session.say("what is the weather?");

  const result = session.messages.find((message) => message.role === "tool");
  assert.match(result.content, /no barometer/);
  assert.deepEqual(session.errors.map((error) => error.message), ["no barometer"]);
});

function essence({ id, role, content, toolCalls, toolCallId }) {
  return { id, role, content: content ?? "", toolCalls: toolCalls ?? [], toolCallId };
}
