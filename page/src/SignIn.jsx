import { useEffect, useRef, useState } from "react";
import { meant } from "./credential";

/** Asks a stranger for a token or API key, and says what the runtime thinks of it. */
export function SignIn({ problem, wasIn, enter }) {
  const field = useRef(null);
  const [isAsking, setIsAsking] = useState(false);
  const [tries, setTries] = useState(0);
  const [wrong, setWrong] = useState(null);
  // What the runtime said, unless what was typed since then is nothing to ask it about.
  const shown = wrong ?? problem;
  useEffect(() => {
    field.current.focus();
    field.current.select();
  }, [shown]);

  const attempt = async (credential) => {
    setWrong(null);
    setIsAsking(true);
    await enter(credential);
    setIsAsking(false);
    setTries((tries) => tries + 1);
  };
  const submit = (event) => {
    event.preventDefault();
    const credential = meant(field.current.value);
    if (credential) {
      attempt(credential);
    } else {
      setWrong({ message: "A token or key has neither spaces nor special letters" });
      setTries(tries + 1);
    }
  };

  return (
    <main className="problem">
      <h1>{wasIn ? "Sign in again" : "Who are you?"}</h1>
      <form onSubmit={submit} aria-busy={isAsking}>
        <label htmlFor="credential">Token or API key</label>
        <div className="field">
          <input
            id="credential"
            ref={field}
            type="password"
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            required
            aria-invalid={tries > 0}
            aria-describedby="why kept"
          />
          <button type="submit" className="yes" disabled={isAsking}>
            Sign in
          </button>
        </div>
        {/* A new one each time: the same words are said again. */}
        <p id="why" role="alert" key={tries}>
          {shown.message}.
        </p>
        <p id="kept" className="quiet">It stays in this tab, until you sign out or close it.</p>
      </form>
      <p>
        Without one, sign in where you get your session cookie, or open the page at the address of the proxy that signs people in.
      </p>
      <p>
        <button type="button" onClick={() => attempt(null)} disabled={isAsking}>
          Try again
        </button>
        {shown.status > 0 && <small>Status {shown.status}</small>}
      </p>
    </main>
  );
}
