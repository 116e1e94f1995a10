import { useDeferredValue, useState } from "react";
import { Archive, ArchiveRestore, Pencil, Plus, Search, Trash2 } from "lucide-react";
import { useDoubt } from "./useDoubt";
import { useThreadList } from "./useThreadList";

export function ThreadList({ agentId, threadId, open, canSearch }) {
  const [words, setWords] = useState("");
  const [includeArchived, setIncludeArchived] = useState(false);
  const [failure, setFailure] = useState(null);
  const list = useThreadList({ agentId, includeArchived, words: useDeferredValue(words.trim()) });

  const error = failure ?? list.error;
  useDoubt(error);
  const attempt = (change) => change.then(() => setFailure(null), setFailure);
  const remove = async (id) => {
    await list.deleteThread(id);
    if (id === threadId) open();
  };

  return (
    <nav className="threads" aria-label="Threads">
      <button type="button" className="new" onClick={() => open()}>
        <Plus />
        New chat
      </button>
      {canSearch && (
        <label className="search">
          <Search aria-hidden />
          <input type="search" aria-label="Search" placeholder="Search" value={words} onChange={(event) => setWords(event.target.value)} />
        </label>
      )}
      {error && <p role="alert">{error.message}</p>}
      <ul aria-busy={list.isLoading}>
        {list.threads.map((thread) => (
          <ThreadRow
            key={thread.id}
            thread={thread}
            isOpen={thread.id === threadId}
            open={() => open(thread.id)}
            rename={(name) => attempt(list.renameThread(thread.id, name))}
            archive={() => attempt(list.archiveThread(thread.id))}
            unarchive={() => attempt(list.unarchiveThread(thread.id))}
            remove={() => attempt(remove(thread.id))}
          />
        ))}
      </ul>
      {list.threads.length === 0 && !list.isLoading && !error && (
        <p className="empty">{words ? `Nothing with “${words.trim()}”` : "Your chats appear here."}</p>
      )}
      {list.hasMoreThreads && (
        <button type="button" className="more" onClick={list.fetchMoreThreads} disabled={list.isFetchingMoreThreads}>
          Older chats
        </button>
      )}
      <label className="archived">
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
      <button type="button" className="name" title={name} aria-current={isOpen ? "page" : undefined} onClick={open}>
        {name}
      </button>
      <Action name="Rename" icon={Pencil} onClick={() => setRenaming(true)} />
      {thread.archived ? (
        <Action name="Unarchive" icon={ArchiveRestore} onClick={unarchive} />
      ) : (
        <Action name="Archive" icon={Archive} onClick={archive} />
      )}
      <Action name="Delete" icon={Trash2} onClick={() => window.confirm(`Delete “${name}”?`) && remove()} />
    </li>
  );
}

function Action({ name, icon: Icon, onClick }) {
  return (
    <button type="button" className="action" aria-label={name} title={name} onClick={onClick}>
      <Icon />
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
  const leave = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    done();
  };
  return (
    <form onSubmit={save} onKeyDown={leave}>
      <input name="name" aria-label="Name" defaultValue={name} autoFocus onFocus={(event) => event.target.select()} onBlur={done} />
    </form>
  );
}
