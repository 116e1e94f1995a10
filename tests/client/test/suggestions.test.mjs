import assert from "node:assert/strict";
import { cores } from "../support/clients.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";
import { until } from "../support/wait.mjs";

const started = useRuntime();

async function suggestionsOf(session) {
  session.core.addSuggestionsConfig({
    instructions: "Be brief.",
    providerAgentId: "suggest",
    consumerAgentId: "text",
    available: "always",
  });
  session.core.reloadSuggestions("text");
  const current = () => session.core.getSuggestions("text");
  await until(() => current().suggestions.length > 0 && !current().isLoading, "the suggestions");
  return current().suggestions;
}

forEach(cores, "core gets suggestions from the agent that provides them", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("hello");
  const suggestions = await suggestionsOf(session);

  assert.deepEqual(
    suggestions.map(({ title, message, isLoading }) => ({ title, message, isLoading })),
    [
      { title: "Go on", message: "Please go on.", isLoading: false },
      { title: "Sum up", message: "Please sum it up.", isLoading: false },
    ],
  );
  const { input } = started.agents.runs.findLast((run) => run.agent === "suggest");
  assert.deepEqual(input.messages.slice(0, 2).map(({ content }) => content), ["hello", "You said: hello"]);
  assert.deepEqual(input.forwardedProps.toolChoice, { type: "function", function: { name: "copilotkitSuggest" } });
  assert.deepEqual(session.transcript.length, 2);
});

forEach(cores.slice(0, 1), "asking for suggestions leaves no thread behind", async (client) => {
  const session = await client.open(started.runtime, { agent: "text" });
  await session.say("hello");
  await suggestionsOf(session);

  const { threadId } = started.agents.runs.findLast((run) => run.agent === "suggest").input;
  const response = await fetch(`${started.runtime.url}/threads`);
  const ids = (await response.json()).threads.map((thread) => thread.id);
  assert.ok(ids.includes(session.threadId));
  assert.equal(ids.includes(threadId), false);
});
