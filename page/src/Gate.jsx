import { useEffect, useState } from "react";
import { Page } from "./Page";
import { ask } from "./runtime";
import { useTheme } from "./useTheme";

/** Asks who is there before anything else: what is wrong is said at once, and not by every part of the page. */
export function Gate() {
  const [attempt, setAttempt] = useState(0);
  const [found, setFound] = useState(null);
  const theme = useTheme();
  useEffect(() => {
    const leaving = new AbortController();
    meet(leaving.signal).then(setFound, (problem) => leaving.signal.aborted || setFound({ problem }));
    return () => leaving.abort();
  }, [attempt]);

  if (!found) return <p className="loading">Loading…</p>;
  if (found.problem) return <Problem problem={found.problem} retry={() => setAttempt(attempt + 1)} />;
  return <Page info={found.info} theme={theme} />;
}

/** What the runtime offers, if it wants to talk to this browser's user. */
async function meet(signal) {
  const [info] = await Promise.all([
    ask("/info", { signal }),
    // `/info` may answer everybody; this only who is known. That threads are not listed is no reason to stay out.
    ask("/threads?limit=1", { signal }).catch((refusal) => {
      if (refusal.status !== 422) throw refusal;
    }),
  ]);
  return { info };
}

function Problem({ problem, retry }) {
  const isStranger = problem.status === 401 || problem.status === 403;
  return (
    <main className="problem" role="alert">
      <h1>{isStranger ? "Who are you?" : "Something is wrong"}</h1>
      <p>{problem.message}.</p>
      {isStranger && (
        <p>
          This runtime tells its users apart, and nothing good in the request of your browser says who you are. Sign in where
          you get your session cookie, or open the page at the address of the proxy that signs people in.
        </p>
      )}
      <p>
        <button type="button" onClick={retry}>
          Try again
        </button>
        {problem.status > 0 && <small>Status {problem.status}</small>}
      </p>
    </main>
  );
}
