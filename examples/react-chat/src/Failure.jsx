import { useEffect, useState } from "react";
import { useAgent, useCopilotKit } from "@copilotkit/react-core/v2";

/** Why the last run failed, until the next one begins; `CopilotChat` does not show it. Every code: docs/error-codes.md. */
export function Failure({ agentId }) {
  const { agent } = useAgent({ agentId, updates: [] });
  const { copilotkit } = useCopilotKit();
  const [message, setMessage] = useState(null);
  useEffect(() => {
    const runs = agent.subscribe({ onRunStartedEvent: () => setMessage(null) });
    const errors = copilotkit.subscribe({ onError: ({ error }) => setMessage(error.message) });
    return () => {
      runs.unsubscribe();
      errors.unsubscribe();
    };
  }, [agent, copilotkit]);
  return message && <p role="alert">{message}</p>;
}
