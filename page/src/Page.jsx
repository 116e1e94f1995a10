import { useEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { CopilotKitProvider } from "@copilotkit/react-core/v2";
import { Braces, Menu } from "lucide-react";
import { Chat } from "./Chat";
import { headersWith } from "./credential";
import { Details } from "./Details";
import { runtimeUrl } from "./runtime";
import { Sidebar } from "./Sidebar";
import { useAddress } from "./useAddress";

export function Page({ info, credential, signOut, theme }) {
  const agents = Object.values(info.agents);
  const { agentId, threadId, open } = useAddress(agents[0]?.name);
  const agent = agents.find(({ name }) => name === agentId);
  const [menu, setMenu] = useState(false);
  const [details, setDetails] = useState(false);
  const headers = useMemo(() => headersWith(credential), [credential]);
  const menuButton = useRef(null);
  const detailsButton = useRef(null);
  const close = (set, button) => () => {
    // Before the button can have the focus it must no longer lie behind the menu.
    flushSync(() => set(false));
    button.current?.focus();
  };

  useEffect(() => {
    document.title = agent ? `${agent.name} · CopilotKit runtime` : "CopilotKit runtime";
  }, [agent]);

  return (
    <CopilotKitProvider runtimeUrl={runtimeUrl} headers={headers} enableInspector={false}>
      <div className="page" data-menu={menu} data-details={details} onKeyDown={onEscape(menu && close(setMenu, menuButton))}>
        <Sidebar
          isOpen={menu}
          info={info}
          agents={agents}
          agent={agent}
          threadId={threadId}
          open={(agentId, threadId) => {
            open(agentId, threadId);
            setMenu(false);
          }}
          close={close(setMenu, menuButton)}
          theme={theme}
          signOut={credential && signOut}
        />
        <div className="shade" onClick={() => setMenu(false)} />
        <main inert={menu}>
          <header className="bar">
            <button
              type="button"
              ref={menuButton}
              className="icon menu"
              aria-label="Agents and threads"
              aria-expanded={menu}
              onClick={() => setMenu(!menu)}
            >
              <Menu />
            </button>
            <h1>{agent?.name ?? agentId}</h1>
            <button
              type="button"
              ref={detailsButton}
              className="icon details"
              aria-expanded={details}
              onClick={() => setDetails(!details)}
            >
              <Braces />
              <span>State and events</span>
            </button>
          </header>
          {agent ? (
            <Chat key={agentId} agent={agent} threadId={threadId} theme={theme} />
          ) : (
            <p className="empty" role="alert">
              {agentId ? `There is no agent “${agentId}”. Choose another.` : "This runtime has no agents."}
            </p>
          )}
        </main>
        {details && agent && (
          <Details key={threadId} agentId={agentId} threadId={threadId} close={close(setDetails, detailsButton)} />
        )}
      </div>
    </CopilotKitProvider>
  );
}

const onEscape = (leave) => (event) => {
  if (leave && event.key === "Escape") leave();
};
