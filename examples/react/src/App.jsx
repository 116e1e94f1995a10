import { CopilotChat } from "@copilotkit/react-core/v2";
import { ThreadList } from "./ThreadList";
import { useThreadId } from "./useThreadId";

export function App({ agentId }) {
  const [threadId, openThread] = useThreadId();
  return (
    <div className="app">
      <ThreadList agentId={agentId} threadId={threadId} openThread={openThread} />
      <main>
        <CopilotChat agentId={agentId} threadId={threadId} />
      </main>
    </div>
  );
}
