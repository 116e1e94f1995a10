import { Page } from "./Page";
import { SignIn } from "./SignIn";
import { Doubt } from "./useDoubt";
import { useEntry } from "./useEntry";
import { useTheme } from "./useTheme";

/** Asks who is there before anything else: what is wrong is said at once, and not by every part of the page. */
export function Gate() {
  const theme = useTheme();
  const { entry, enter, again, leave } = useEntry();
  if (!entry) return <p className="loading">Loading…</p>;
  if (entry.info) {
    return (
      <Doubt value={again}>
        <Page info={entry.info} credential={entry.credential} signOut={leave} theme={theme} />
      </Doubt>
    );
  }
  if (entry.asks) return <SignIn problem={entry.problem} wasIn={entry.wasIn} enter={enter} />;
  return <Problem problem={entry.problem} retry={again} />;
}

function Problem({ problem, retry }) {
  return (
    <main className="problem">
      <h1>Something is wrong</h1>
      <p role="alert">{problem.message}.</p>
      <p>
        <button type="button" onClick={retry}>
          Try again
        </button>
        {problem.status > 0 && <small>Status {problem.status}</small>}
      </p>
    </main>
  );
}
