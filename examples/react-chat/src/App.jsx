import { CopilotChat } from "@copilotkit/react-core/v2";
import { Failure } from "./Failure";
import { SharedNote } from "./SharedNote";
import { ThreadList } from "./ThreadList";
import { useColorTool } from "./useColorTool";
import { useThreadId } from "./useThreadId";

export function App({ agentId }) {
  const [threadId, openThread] = useThreadId();
  const color = useColorTool();
  return (
    <div className="app" style={{ borderTopColor: color }}>
      <ThreadList agentId={agentId} threadId={threadId} openThread={openThread} />
      <main>
        <Failure key={threadId} agentId={agentId} />
        <CopilotChat agentId={agentId} threadId={threadId} />
      </main>
      <SharedNote agentId={agentId} />
    </div>
  );
}
