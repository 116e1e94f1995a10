import { useCallback, useSyncExternalStore } from "react";

/**
 * The open thread stands in the address, `#thread=<id>`: it survives a reload, can be opened in a second tab, and the browser's
 * back button works. `openThread()` without an id opens a new thread; the runtime learns of it with its first message.
 */
export function useThreadId() {
  const threadId = useSyncExternalStore(watch, read);
  const openThread = useCallback((id) => {
    window.location.hash = addressOf(id);
  }, []);
  return [threadId, openThread];
}

function watch(changed) {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

function read() {
  const id = new URLSearchParams(window.location.hash.slice(1)).get("thread");
  if (id) return id;
  window.history.replaceState(null, "", addressOf());
  return read();
}

function addressOf(id = crypto.randomUUID()) {
  return `#${new URLSearchParams({ thread: id })}`;
}
