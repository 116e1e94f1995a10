import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { CopilotKitProvider } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";
import "./app.css";
import { App } from "./App";

createRoot(document.getElementById("root")).render(
  <StrictMode>
    {/* The inspector shows in development only, and asks CopilotKit's servers for news: leave the line out if you want it. */}
    <CopilotKitProvider runtimeUrl="/api/copilotkit" enableInspector={false}>
      <App agentId="default" />
    </CopilotKitProvider>
  </StrictMode>,
);
