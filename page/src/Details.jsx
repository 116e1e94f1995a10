import { useCallback, useEffect, useRef, useState } from "react";
import { RefreshCw, X } from "lucide-react";
import { ask } from "./runtime";
import { useDoubt } from "./useDoubt";
import { useRuns } from "./useRuns";

/** More would make the page slow; what is older can be asked for. */
const NEWEST = 200;

const NOTHING = { state: null, events: [] };

/** What the runtime holds of a thread besides its messages. */
export function Details({ agentId, threadId, close }) {
  const [view, setView] = useState("state");
  const { held, error, refresh } = useHeld(agentId, threadId, view);
  const panel = useRef(null);
  useEffect(() => panel.current.focus(), []);
  return (
    <aside
      className="panel"
      aria-label="State and events"
      tabIndex={-1}
      ref={panel}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <header className="bar">
        <div className="tabs" role="group" aria-label="Show">
          {["state", "events"].map((name) => (
            <button type="button" key={name} aria-pressed={view === name} onClick={() => setView(name)}>
              {name === "state" ? "State" : "Events"}
            </button>
          ))}
        </div>
        <button type="button" className="icon" aria-label="Refresh" onClick={refresh}>
          <RefreshCw />
        </button>
        <button type="button" className="icon" aria-label="Close" onClick={close}>
          <X />
        </button>
      </header>
      {error && <p role="alert">{error.message}</p>}
      {view === "state" && held?.view === "state" && <State state={held.state} />}
      {view === "events" && held?.view === "events" && <Events events={held.events} />}
    </aside>
  );
}

function useHeld(agentId, threadId, view) {
  const [held, setHeld] = useState(null);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  const refresh = useCallback(() => setRound((round) => round + 1), []);
  useRuns(agentId, refresh);
  useDoubt(error);
  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    ask(`/threads/${encodeURIComponent(threadId)}/${view}`, { signal }).then(
      (answer) => {
        setHeld({ view, ...answer });
        setError(null);
      },
      (error) => {
        if (signal.aborted) return;
        // The platform knows no thread before its first message.
        const isNew = error.status === 404;
        if (isNew) setHeld({ view, ...NOTHING });
        setError(isNew ? null : error);
      },
    );
    return () => leaving.abort();
  }, [threadId, view, round]);
  return { held, error, refresh };
}

function State({ state }) {
  if (state === null) return <p className="empty">The agent shares no state.</p>;
  return (
    <pre className="json" tabIndex={0}>
      {JSON.stringify(state, null, 2)}
    </pre>
  );
}

function Events({ events }) {
  const [all, setAll] = useState(false);
  if (events.length === 0) return <p className="empty">Nothing has happened yet.</p>;
  const hidden = all ? 0 : Math.max(0, events.length - NEWEST);
  return (
    <div className="events">
      {hidden > 0 && (
        <button type="button" onClick={() => setAll(true)}>
          {hidden} earlier events
        </button>
      )}
      <ol start={hidden + 1}>
        {events.slice(hidden).map((event, place) => (
          <Event key={hidden + place} event={event} />
        ))}
      </ol>
    </div>
  );
}

function Event({ event }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <li>
      <details onToggle={({ currentTarget }) => setIsOpen(currentTarget.open)}>
        <summary>
          <b>{event.type}</b> <span>{gist(event)}</span>
        </summary>
        {isOpen && <pre className="json">{JSON.stringify(event, null, 2)}</pre>}
      </details>
    </li>
  );
}

/** The few words of an event that tell it from the others of its type. */
function gist(event) {
  const said = event.delta ?? event.content ?? event.snapshot ?? event.message ?? event.value ?? event.toolCallName;
  const text = said ?? event.stepName ?? event.name ?? event.role ?? event.runId ?? "";
  return (typeof text === "string" ? text : JSON.stringify(text)).slice(0, 120);
}
