import { useEffect } from "react";
import { useAgent } from "@copilotkit/react-core/v2";

/**
 * Fetches the list of threads again whenever it may have changed: a run has begun (its thread may be new) or ended, or the
 * user comes back from another tab. Nothing else would: `useThreads` asks once, and in SSE mode nobody tells it of changes.
 */
export function useFreshList(agentId, refetch) {
  const { agent } = useAgent({ agentId, updates: [] });
  useEffect(() => {
    // A thread that is opened replays all its runs, within moments: one request is enough.
    let timer;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(refetch, 50);
    };
    const runs = agent.subscribe({ onRunStartedEvent: soon, onRunFinalized: soon });
    window.addEventListener("focus", soon);
    return () => {
      clearTimeout(timer);
      runs.unsubscribe();
      window.removeEventListener("focus", soon);
    };
  }, [agent, refetch]);
}
