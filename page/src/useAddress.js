import { useCallback, useMemo, useSyncExternalStore } from "react";

/**
 * The agent and the open thread stand in the address, `#agent=<name>&thread=<id>`: they survive a reload, can be opened in a second
 * tab, and the browser's back button works. A thread without an id is a new one; the runtime learns of it with its first message.
 */
export function useAddress(firstAgent) {
  const hash = useSyncExternalStore(watch, () => window.location.hash);
  const address = useMemo(() => {
    const parts = new URLSearchParams(hash.slice(1));
    const agentId = parts.get("agent") ?? firstAgent;
    const threadId = parts.get("thread");
    if (threadId) return { agentId, threadId };
    const begun = { agentId, threadId: newId() };
    window.history.replaceState(null, "", hashOf(begun));
    return begun;
  }, [hash, firstAgent]);
  const open = useCallback((agentId, threadId = newId()) => {
    window.location.hash = hashOf({ agentId, threadId });
  }, []);
  return { ...address, open };
}

function watch(changed) {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

const hashOf = ({ agentId, threadId }) => `#${new URLSearchParams({ agent: agentId ?? "", thread: threadId })}`;

/** `crypto.randomUUID` is there only where the page came over TLS or from this machine. */
function newId() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
