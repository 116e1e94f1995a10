import { UseAgentUpdate, useAgent } from "@copilotkit/react-core/v2";

/** State that page and agent share. What is written here goes to the agent with the next message; what it writes shows at once. */
export function SharedNote({ agentId }) {
  const { agent } = useAgent({ agentId, updates: [UseAgentUpdate.OnStateChanged] });
  const { note = "", ...others } = agent.state ?? {};
  return (
    <aside className="shared">
      <h2>Shared state</h2>
      <label>
        Note
        <textarea rows={3} value={note} onChange={(event) => agent.setState({ ...agent.state, note: event.target.value })} />
      </label>
      <pre>{JSON.stringify(others, null, 2)}</pre>
    </aside>
  );
}
