import { useCallback, useEffect, useState } from "react";
import { useThreads } from "@copilotkit/react-core/v2";
import { ask, query } from "./runtime";
import { useRuns } from "./useRuns";

const PAGE = 50;

/** The threads of an agent, the last active first; with `words`, those that hold them. Changes go through `useThreads` either way. */
export function useThreadList({ agentId, includeArchived, words }) {
  const all = useThreads({ agentId, includeArchived, limit: PAGE });
  const [found, search] = useSearch({ agentId, includeArchived, words });

  const { refetchThreads } = all;
  const refresh = useCallback(() => {
    refetchThreads();
    search();
  }, [refetchThreads, search]);
  useRuns(agentId, refresh);
  useEffect(() => {
    window.addEventListener("focus", refresh);
    return () => window.removeEventListener("focus", refresh);
  }, [refresh]);

  // `useThreads` shows a change at once. An answer that was on its way by then would undo it on the screen.
  const andRefresh = (change) => (...of) => change(...of).finally(refresh);
  const changes = {
    renameThread: andRefresh(all.renameThread),
    archiveThread: andRefresh(all.archiveThread),
    unarchiveThread: andRefresh(all.unarchiveThread),
    deleteThread: andRefresh(all.deleteThread),
  };
  if (!words) return { ...all, ...changes };
  return { threads: found.threads, error: found.error, isLoading: found.words !== words, hasMoreThreads: false, ...changes };
}

/** `useThreads` knows no search: this asks the route itself. */
function useSearch({ agentId, includeArchived, words }) {
  const [found, setFound] = useState({ words: "", threads: [], error: null });
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((round) => round + 1), []);
  useEffect(() => {
    if (!words) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    // Not at every letter.
    const timer = setTimeout(() => {
      ask(`/threads${query({ agentId, includeArchived, limit: PAGE, query: words })}`, { signal }).then(
        ({ threads }) => setFound({ words, threads, error: null }),
        (error) => signal.aborted || setFound({ words, threads: [], error }),
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      leaving.abort();
    };
  }, [agentId, includeArchived, words, round]);
  return [found, again];
}
