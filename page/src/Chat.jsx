import { useEffect, useState } from "react";
import {
  CopilotChat,
  UseAgentUpdate,
  useAgent,
  useConfigureSuggestions,
  useCopilotKit,
  useDefaultRenderTool,
  useFrontendTool,
  useInterrupt,
} from "@copilotkit/react-core/v2";
import { X } from "lucide-react";
import { z } from "zod";
import { Approval } from "./Approval";
import { useDoubt } from "./useDoubt";

export function Chat({ agent, threadId, theme }) {
  const [failure, dismiss] = useFailure(agent.name, threadId);
  useDoubt(failure);
  useDefaultRenderTool();
  useInterrupt({
    agentId: agent.name,
    render: ({ interrupt, event, resolve, cancel }) => (
      <Approval key={interrupt?.id} interrupt={interrupt ?? { message: textOf(event?.value) }} resolve={resolve} cancel={cancel} />
    ),
  });
  return (
    <>
      {agent.className === "DemoAgent" && <ForTheDemo agentId={agent.name} theme={theme} />}
      {failure && (
        <div className="failure" role="alert">
          <p>
            {failure.message}
            {failure.code && <code>{failure.code}</code>}
          </p>
          <button type="button" className="icon" aria-label="Dismiss" onClick={dismiss}>
            <X />
          </button>
        </div>
      )}
      <Greeting agent={agent} />
      <div className="chat">
        <CopilotChat agentId={agent.name} threadId={threadId} />
      </div>
    </>
  );
}

/** What an empty thread shows: CopilotKit greets only where the page gives no thread. */
function Greeting({ agent: { name, description } }) {
  const { agent } = useAgent({ agentId: name, updates: [UseAgentUpdate.OnMessagesChanged] });
  if (agent.messages.length > 0) return null;
  return (
    <div className="greeting">
      <h2>Talk to {name}</h2>
      {description && <p>{description}</p>}
    </div>
  );
}

/** What the demo agent has to play with. An agent of somebody's own is offered nothing it did not ask for. */
function ForTheDemo({ agentId, theme }) {
  const themes = theme.isDark ? ["light", "dark"] : ["dark", "light"];
  useFrontendTool(
    {
      name: "setTheme",
      description: "Makes the page light or dark",
      parameters: z.object({ theme: z.enum(themes) }),
      handler: async ({ theme: choice }) => {
        theme.choose(choice);
        return `The page is ${choice} now`;
      },
      agentId,
    },
    [theme.isDark],
  );
  useConfigureSuggestions({ suggestions: DEMO_SUGGESTIONS, available: "before-first-message", consumerAgentId: agentId }, []);
  return null;
}

const DEMO_SUGGESTIONS = ["Use a tool", "Show me the state", "Think about it", "Ask for approval"].map((message) => ({
  title: message,
  message,
}));

/** Why the thread's last run failed, or what else went wrong; until the next run begins. */
function useFailure(agentId, threadId) {
  const { agent } = useAgent({ agentId, updates: [] });
  const { copilotkit } = useCopilotKit();
  const [failure, setFailure] = useState(null);
  const dismiss = () => setFailure(null);
  useEffect(dismiss, [threadId]);
  useEffect(() => {
    const runs = agent.subscribe({
      onRunStartedEvent: dismiss,
      onRunErrorEvent: ({ event }) => setFailure({ message: event.message, code: event.code }),
    });
    const rest = copilotkit.subscribe({
      // Of a run that says itself why it failed, the client knows less.
      onError: ({ error, code }) => setFailure((known) => known ?? { message: error.message, code }),
    });
    return () => {
      runs.unsubscribe();
      rest.unsubscribe();
    };
  }, [agent, copilotkit]);
  return [failure, dismiss];
}

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));
