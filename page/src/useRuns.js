import { useEffect } from "react";
import { useAgent } from "@copilotkit/react-core/v2";

/** Calls `changed` when a run of the agent has begun or ended. A thread that is opened replays all its runs: once is enough for them. */
export function useRuns(agentId, changed) {
  const { agent } = useAgent({ agentId, updates: [] });
  useEffect(() => {
    let timer;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(changed, 50);
    };
    const runs = agent.subscribe({ onRunStartedEvent: soon, onRunErrorEvent: soon, onRunFinalized: soon, onRunFailed: soon });
    return () => {
      clearTimeout(timer);
      runs.unsubscribe();
    };
  }, [agent, changed]);
}
