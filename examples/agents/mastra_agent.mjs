// An agent of Mastra behind one AG-UI endpoint. Any agent of `@ag-ui/client` in JavaScript is served in the same way.
//
//     npm install --no-save --legacy-peer-deps @mastra/core @mastra/client-js @ag-ui/mastra \
//       @ag-ui/client@0.0.59 @ag-ui/core@0.0.59
//     node mastra_agent.mjs
//     copilotkit-runtime --agent http://127.0.0.1:8002/

import { createServer } from "node:http";
import { json } from "node:stream/consumers";

import { MastraAgent } from "@ag-ui/mastra";
import { Agent } from "@mastra/core/agent";
import { createMockModel } from "@mastra/core/test-utils/llm-mock";

// Without MODEL the answer is always the same, and no key is needed.
const model = process.env.MODEL ?? createMockModel({ mockText: "Hello from Mastra.", version: "v2" });
const shop = new Agent({ id: "shop", name: "shop", instructions: "You work in our shop. Be brief.", model });

async function serve(request, response) {
  const input = await json(request);
  // An agent of its own for each run: it holds what the run has said so far.
  const agent = new MastraAgent({ agent: shop, agentId: "shop", resourceId: input.threadId });
  response.writeHead(200, { "content-type": "text/event-stream" });
  const run = agent.run(input).subscribe({
    next: (event) => response.write(`data: ${JSON.stringify(event)}\n\n`),
    error: (error) => {
      response.end(`data: ${JSON.stringify({ type: "RUN_ERROR", message: String(error.message ?? error) })}\n\n`);
    },
    complete: () => response.end(),
  });
  // A stopped run ends its connection; then the agent ends too.
  response.on("close", () => run.unsubscribe());
}

createServer((request, response) => {
  serve(request, response).catch((error) => response.writeHead(400).end(String(error.message ?? error)));
}).listen(Number(process.env.PORT ?? 8002), "127.0.0.1");
