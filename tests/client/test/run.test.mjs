import assert from "node:assert/strict";
import { clients, cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";
import { until } from "../support/wait.mjs";

const started = useRuntime();

forEach(clients, "text arrives word by word and the messages end up right", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("to be or not to be");

  assert.deepEqual(session.transcript, [
    ["user", "to be or not to be"],
    ["assistant", "You said: to be or not to be"],
  ]);
  const words = session.events.filter((event) => event.type === "TEXT_MESSAGE_CONTENT");
  assert.equal(words.map((event) => event.delta).join(""), "You said: to be or not to be");
  assert.ok(words.length > 5, `expected several pieces, got ${words.length}`);
  assert.equal(session.types[0], "RUN_STARTED");
  assert.equal(session.types.at(-1), "RUN_FINISHED");
  assert.deepEqual(session.errors, []);
});

forEach(clients, "the first words arrive while the agent still speaks", async (client) => {
  const session = await client.open(started.runtime, { agent: "gated" });
  const { done } = await session.begin("hello");
  assert.equal(session.answer, "before ");
  assert.equal(session.types.includes("RUN_FINISHED"), false);

  started.agents.release(session.threadId);
  await done;
  assert.equal(session.answer, "before after");
});

forEach(clients, "any text survives the way there and back", async (client) => {
  const text = `quotes " and \\ , line\nbreak, tab\t, € 漢字 🙂 \u2028 </script>`;
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say(text);
  assert.equal(session.answer, `You said: ${text}`);
});

forEach(clients, "an agent's name may have spaces, dots and accents", async (client) => {
  const session = await client.open(started.runtime, { agent: "Zoë no. 2" });
  await session.say("hello");
  const reloaded = await client.open(started.runtime, { agent: "Zoë no. 2", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "You said: hello"]]);
});

forEach(clients, "a second turn sends the whole conversation to the agent", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("one");
  await session.say("two");

  const { input } = await started.agents.arrived("text", session.threadId, 1);
  assert.deepEqual(
    input.messages.map(({ role, content }) => [role, content]),
    [["user", "one"], ["assistant", "You said: one"], ["user", "two"]],
  );
  assert.deepEqual(session.transcript.at(-1), ["assistant", "You said: two"]);
  assert.equal(session.messages.length, 4);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "reasoning is shown before the answer", async (client) => {
  const session = await client.open(started.runtime, { agent: "reasons" });
  await session.say("why?");
  assert.deepEqual(session.transcript, [
    ["user", "why?"],
    ["reasoning", "First I think."],
    ["assistant", "Then I speak."],
  ]);
});

forEach(clients, "an agent that speaks in chunks is understood", async (client) => {
  const session = await client.open(started.runtime, { agent: "chunks" });
  await session.say("hello");
  const [, assistant, result] = session.messages;
  assert.equal(assistant.content, "Chunk by chunk.");
  assert.deepEqual(assistant.toolCalls.map(({ function: call }) => call), [{ name: "note", arguments: '{"n":1}' }]);
  assert.equal(result.content, "noted");
  assert.equal(session.messages.length, 3);
  assert.deepEqual(session.errors, []);
});

forEach(clients, "steps, activities and custom events arrive, live and after a reload", async (client) => {
  const session = await client.open(started.runtime, { agent: "lively" });
  await session.say("find cats");
  const reloaded = await client.open(started.runtime, { agent: "lively", threadId: session.threadId });
  await reloaded.restore();

  for (const { messages, events, types, errors } of [session, reloaded]) {
    assert.deepEqual(messages.map(({ role }) => role), ["user", "activity", "assistant"]);
    assert.deepEqual(messages[1].content, { query: "cats", found: 3 });
    const custom = events.find((event) => event.type === "CUSTOM");
    assert.deepEqual([custom.name, custom.value], ["progress", { percent: 50, "ключ": [1, null] }]);
    assert.ok(types.indexOf("STEP_STARTED") < types.indexOf("STEP_FINISHED"));
    assert.deepEqual(errors, []);
  }
});

forEach(clients, "a client that leaves does not end the run", async (client) => {
  const session = await client.open(started.runtime, { agent: "gated" });
  const { done } = await session.begin("hello");
  session.hangUp();
  await done;

  started.agents.release(session.threadId);
  const run = await started.agents.arrived("gated", session.threadId);
  await until(() => run.ended, "the agent to finish");
  assert.equal(run.aborted, false);

  const reloaded = await client.open(started.runtime, { agent: "gated", threadId: session.threadId });
  await reloaded.restore();
  assert.deepEqual(reloaded.transcript, [["user", "hello"], ["assistant", "before after"]]);
});

forEach(cores, "core's headers and properties reach the agent", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  session.core.setHeaders({ authorization: "Bearer abc", "x-tenant": "acme" });
  session.core.setProperties({ theme: "dark" });
  session.core.addContext({ description: "place", value: "Paris" });
  await session.say("hello");

  const { headers, input } = await started.agents.arrived("text", session.threadId);
  assert.equal(headers.authorization, "Bearer abc");
  assert.equal(headers["x-tenant"], "acme");
  assert.deepEqual(input.forwardedProps, { theme: "dark" });
  assert.deepEqual(input.context, [{ description: "place", value: "Paris" }]);
});
