import assert from "node:assert/strict";
import { test } from "node:test";
import { connectedCore, coreAuto, cores, core } from "../support/clients.mjs";
import { descriptions } from "../support/agents.mjs";
import { forEach, useRuntime } from "../support/harness.mjs";

const started = useRuntime();

forEach([...cores, coreAuto], "core finds every agent with its description", async (client) => {
  const { core } = await client.open(started.runtime, { agent: "text" });
  assert.deepEqual(Object.keys(core.agents).sort(), [...started.agents.names].sort());
  assert.equal(core.agents.text.description, descriptions.text);
  assert.equal(core.agents.fails.description, descriptions.fails);
  assert.equal(core.agents.slow.description, "");
});

test("core that detects the transport takes the REST routes when they are there", async () => {
  const { core } = await coreAuto.open(started.runtime, { agent: "text" });
  assert.equal(core.runtimeTransport, "rest");
});

test("core that detects the transport falls back to the single endpoint", async () => {
  const core = await connectedCore(started.runtime.singleUrl, "auto");
  assert.equal(core.runtimeTransport, "single");
  assert.ok(core.agents.text);
});

forEach(cores, "core is told which features the runtime has", async (client) => {
  const { core } = await client.open(started.runtime, { agent: "text" });
  assert.equal(core.runtimeMode, "sse");
  assert.equal(core.suggestions, true);
  assert.equal(core.audioFileTranscriptionEnabled, false);
  assert.deepEqual(core.threadEndpoints, { list: true, inspect: true, mutations: true, realtimeMetadata: false });
  assert.match(core.runtimeVersion, /^\d+\.\d+\.\d+/);
});

test("core reports a runtime that is not there", async () => {
  const nowhere = { url: `${started.runtime.url}-elsewhere` };
  await assert.rejects(core.open(nowhere, { agent: "text" }), /cannot connect/);
});
