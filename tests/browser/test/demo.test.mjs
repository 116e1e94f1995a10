import { test } from "node:test";
import { useDemoExample } from "../support/harness.mjs";

const started = useDemoExample();

test("the example works before there is an agent", async () => {
  const tab = await started.profile.openTab();
  await tab.say("Hello");
  await tab.page.getByText("I am the demo agent of this CopilotKit runtime").waitFor();
});
