import { useCallback, useEffect, useRef, useState } from "react";
import { remember, remembered } from "./credential";
import { ask, query } from "./runtime";

/**
 * Whether the runtime lets this browser's user in. `entry` is `null` until it has said so, and then either `{ info, credential }`
 * or `{ problem, asks, wasIn }`: why not, whether another credential may help, and whether it did let the user in before.
 */
export function useEntry() {
  const [entry, setEntry] = useState(null);
  const attempt = useRef(null);

  const enter = useCallback(async (credential) => {
    attempt.current?.abort();
    attempt.current = new AbortController();
    const { signal } = attempt.current;
    try {
      const info = await meet(credential, signal);
      if (signal.aborted) return;
      remember(credential);
      setEntry({ info, credential });
    } catch (problem) {
      if (signal.aborted) return;
      const isStranger = problem.status === 401 || problem.status === 403;
      if (isStranger) remember(null);
      setEntry((before) => {
        // In the page each part says itself what it misses.
        if (before?.info && !isStranger) return before;
        return { problem, asks: isStranger || Boolean(before?.asks), wasIn: Boolean(before?.info || before?.wasIn) };
      });
    }
  }, []);

  useEffect(() => {
    enter(remembered());
    return () => attempt.current.abort();
  }, [enter]);

  const again = useCallback(() => enter(remembered()), [enter]);
  const leave = useCallback(() => {
    remember(null);
    // Whoever comes next begins a thread of their own.
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    setEntry(null);
    enter(null);
  }, [enter]);
  return { entry, enter, again, leave };
}

/** What the runtime offers, if it wants to talk to whoever shows this credential. */
async function meet(credential, signal) {
  const info = await ask("/info", { signal, credential });
  // `/info` may answer everybody; this only who is known. Some threads are listed for one agent at a time.
  const [agentId] = Object.keys(info.agents);
  await ask(`/threads${query({ agentId, limit: 1 })}`, { signal, credential }).catch((refusal) => {
    // That they are not listed at all is no reason to stay out.
    if (refusal.status !== 400 && refusal.status !== 422) throw refusal;
  });
  return info;
}
