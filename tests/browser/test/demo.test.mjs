import { test } from "node:test";
import { useDemoExample } from "../support/harness.mjs";

const started = useDemoExample();

test("the example works before there is an agent", async () => {
  const tab = await started.profile.openTab();
  await tab.say("Hello");
  await tab.page.getByText("I am the demo agent of this CopilotKit runtime").waitFor();
});

test("the agent calls a tool of the page and gets its result", async () => {
  const tab = await started.profile.openTab();
  await tab.say("Use a tool");
  await tab.page.getByTestId("copilot-tool-render").getByText("Done").waitFor();
  await tab.holds("The page is teal now");
});

test("page and agent share a state", async () => {
  const tab = await started.profile.openTab();
  const shared = tab.page.getByRole("complementary");
  await shared.getByRole("textbox", { name: "Note" }).fill("Buy milk");
  await tab.say("Show me the state");
  await tab.holds("The other entry in it is yours, and I left it alone.");
  await shared.getByText('"lastWords": "Show me the state"').waitFor();
  await tab.reload();
  await shared.getByText("Buy milk").waitFor();
});
