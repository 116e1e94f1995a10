import { useState } from "react";
import { useThreads } from "@copilotkit/react-core/v2";
import { useFreshList } from "./useFreshList";

export function ThreadList({ agentId, threadId, openThread }) {
  const [includeArchived, setIncludeArchived] = useState(false);
  const [failure, setFailure] = useState(null);
  const list = useThreads({ agentId, includeArchived });
  useFreshList(agentId, list.refetchThreads);

  const error = failure ?? list.error;
  const attempt = (change) => change.then(() => setFailure(null), setFailure);
  const remove = async (id) => {
    await list.deleteThread(id);
    if (id === threadId) openThread();
  };

  return (
    <nav className="threads" aria-label="Threads">
      <button className="new" onClick={() => openThread()}>
        New chat
      </button>
      {error && <p role="alert">{error.message}</p>}
      <ul aria-busy={list.isLoading}>
        {list.threads.map((thread) => (
          <ThreadRow
            key={thread.id}
            thread={thread}
            isOpen={thread.id === threadId}
            open={() => openThread(thread.id)}
            rename={(name) => attempt(list.renameThread(thread.id, name))}
            archive={() => attempt(list.archiveThread(thread.id))}
            unarchive={() => attempt(list.unarchiveThread(thread.id))}
            remove={() => attempt(remove(thread.id))}
          />
        ))}
      </ul>
      {list.hasMoreThreads && (
        <button onClick={list.fetchMoreThreads} disabled={list.isFetchingMoreThreads}>
          Older chats
        </button>
      )}
      <label>
        <input type="checkbox" checked={includeArchived} onChange={(event) => setIncludeArchived(event.target.checked)} />
        Show archived
      </label>
    </nav>
  );
}

function ThreadRow({ thread, isOpen, open, rename, archive, unarchive, remove }) {
  const [renaming, setRenaming] = useState(false);
  const name = thread.name || "Untitled";
  if (renaming) {
    return (
      <li>
        <NameForm name={name} rename={rename} done={() => setRenaming(false)} />
      </li>
    );
  }
  return (
    <li className={thread.archived ? "archived" : undefined}>
      <button className="name" aria-current={isOpen ? "page" : undefined} onClick={open}>
        {name}
      </button>
      <Action name="Rename" sign="✎" onClick={() => setRenaming(true)} />
      {thread.archived ? (
        <Action name="Unarchive" sign="⇧" onClick={unarchive} />
      ) : (
        <Action name="Archive" sign="⇩" onClick={archive} />
      )}
      <Action name="Delete" sign="✕" onClick={() => window.confirm(`Delete “${name}”?`) && remove()} />
    </li>
  );
}

function Action({ name, sign, onClick }) {
  return (
    <button className="action" aria-label={name} title={name} onClick={onClick}>
      {sign}
    </button>
  );
}

function NameForm({ name, rename, done }) {
  const save = (event) => {
    event.preventDefault();
    const newName = new FormData(event.currentTarget).get("name").trim();
    if (newName && newName !== name) rename(newName);
    done();
  };
  return (
    <form onSubmit={save} onKeyDown={(event) => event.key === "Escape" && done()}>
      <input name="name" aria-label="Name" defaultValue={name} autoFocus onBlur={done} />
    </form>
  );
}
