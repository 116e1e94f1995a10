import { useEffect, useRef } from "react";
import { Monitor, Moon, Sun, X } from "lucide-react";
import { ThreadList } from "./ThreadList";

export function Sidebar({ isOpen, info, agents, agent, threadId, open, close, theme, signOut }) {
  const closeButton = useRef(null);
  useEffect(() => {
    if (isOpen) closeButton.current.focus();
  }, [isOpen]);
  return (
    <aside className="sidebar" aria-label="Agents and threads">
      <header>
        <strong>CopilotKit runtime</strong>
        <small>{info.version}</small>
        <button type="button" ref={closeButton} className="icon close" aria-label="Close" onClick={close}>
          <X />
        </button>
      </header>
      <nav className="agents" aria-label="Agents">
        <h2>Agents</h2>
        <ul>
          {agents.map(({ name, description }) => (
            <li key={name}>
              <button type="button" aria-current={name === agent?.name || undefined} onClick={() => open(name)}>
                <b>{name}</b>
                {description && <small title={description}>{description}</small>}
              </button>
            </li>
          ))}
        </ul>
      </nav>
      {agent && (
        <ThreadList
          key={agent.name}
          agentId={agent.name}
          threadId={threadId}
          open={(id) => open(agent.name, id)}
          // Of threads the platform keeps it searches none.
          canSearch={info.mode !== "intelligence"}
        />
      )}
      <footer>
        <fieldset className="theme">
          <legend>Theme</legend>
          {THEMES.map(([choice, Icon]) => (
            <label key={choice} title={choice}>
              <input
                type="radio"
                name="theme"
                aria-label={choice}
                checked={theme.choice === choice}
                onChange={() => theme.choose(choice)}
              />
              <Icon aria-hidden />
            </label>
          ))}
        </fieldset>
        {signOut && (
          <button type="button" onClick={signOut}>
            Sign out
          </button>
        )}
        <a href="page/licenses.txt">Licenses</a>
      </footer>
    </aside>
  );
}

const THEMES = [
  ["light", Sun],
  ["dark", Moon],
  ["system", Monitor],
];
