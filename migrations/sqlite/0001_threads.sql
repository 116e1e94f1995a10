-- Threads and what was said on them.
--
-- A run is numbered by its thread's id and its place on the thread: `thread << 24 | n`, n from 1. So the runs of a
-- thread are one range of keys, in order. Columns of type ANY that hold JSON are text as it is, or a blob that
-- names payloads where long strings stood.

CREATE TABLE threads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Empty where users are not told apart.
    owner TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    -- The agent of the last run.
    agent_id TEXT NOT NULL,
    name TEXT,
    archived INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds since 1970.
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Orders threads by their last activity, also within a millisecond.
    active INTEGER NOT NULL,
    next_run INTEGER NOT NULL,
    UNIQUE (owner, thread_id)
) STRICT;

CREATE INDEX threads_of_all ON threads (archived, active);
CREATE INDEX threads_of_owner ON threads (owner, archived, active);
CREATE INDEX threads_of_agent ON threads (owner, agent_id, archived, active);

-- The shared state of threads that have one, as JSON.
CREATE TABLE states (
    thread INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;

-- A thread has one open run at most.
CREATE TABLE open_runs (
    thread INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    -- The lease of the process that runs it.
    epoch INTEGER NOT NULL,
    stop_asked INTEGER NOT NULL DEFAULT 0,
    -- Whether its input stands in `search`.
    searched INTEGER NOT NULL DEFAULT 0,
    began_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    -- What the client posted, with the messages new to the thread.
    input ANY NOT NULL
) STRICT;

CREATE INDEX stops_asked ON open_runs (epoch) WHERE stop_asked;

-- What open runs have said, framed for the wire, but for what they said last.
CREATE TABLE events (
    run INTEGER NOT NULL,
    -- How many events of the run stand before these.
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    frames ANY NOT NULL,
    PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID;

-- What they said last: what was committed together, whoever said it.
CREATE TABLE tail (
    id INTEGER PRIMARY KEY,
    -- The lease of the process that wrote it.
    epoch INTEGER NOT NULL,
    -- For each piece in `said` its run, how many events the run said before, how many these are, and how many bytes:
    -- 8, 8, 4 and 4 bytes, the smallest first. What stands in `events` too is not read here.
    pieces BLOB NOT NULL,
    said BLOB NOT NULL
) STRICT;

-- Runs that have ended.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    -- How many events the run said, and how many are left of them.
    said INTEGER NOT NULL,
    count INTEGER NOT NULL,
    cuts BLOB,
    -- JSON array of messages of the input that stand in no event.
    unsaid ANY,
    frames ANY NOT NULL
) STRICT;

-- Long strings, each once on a thread, with the run that brought it.
CREATE TABLE payloads (
    id INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    run INTEGER NOT NULL,
    -- SHA-256 of the bytes.
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (thread, hash)
) STRICT;

CREATE INDEX payloads_of_run ON payloads (run);

-- Ids of messages a thread has heard of, with the run that brought them.
CREATE TABLE message_ids (
    thread INTEGER NOT NULL,
    id TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (thread, id)
) STRICT, WITHOUT ROWID;

-- Processes that hold open runs. An epoch is given to one of them once.
CREATE TABLE leases (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Names the file that the process keeps locked.
    holder TEXT NOT NULL,
    -- Milliseconds since 1970, and for how many of them it is good.
    renewed_at INTEGER NOT NULL,
    lasts INTEGER NOT NULL
) STRICT;

-- Threads that were deleted and of which something may be left.
CREATE TABLE removed (
    thread INTEGER PRIMARY KEY
) STRICT;

-- Processes that write the whole file anew: who finds it locked meanwhile waits.
CREATE TABLE rewriting (
    holder TEXT PRIMARY KEY
) STRICT;

-- What was taken over from the tables of others in this file.
CREATE TABLE imports (
    source TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

-- Each word of a run once (rowid is its number), or of a thread's name (n is 0). The words are split and put in lower
-- case before they come here.
CREATE VIRTUAL TABLE search USING fts5 (words, tokenize = 'ascii', detail = 'none', columnsize = 0);
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

-- Rows of `search` that may be out of date, the newest last. One may stand here twice.
CREATE TABLE unsearched (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

CREATE TRIGGER a_thread_was_named AFTER INSERT ON threads WHEN new.name IS NOT NULL BEGIN
    INSERT INTO unsearched (number) VALUES (new.id << 24);
END;
CREATE TRIGGER a_thread_was_renamed AFTER UPDATE OF name ON threads WHEN new.name IS NOT old.name BEGIN
    INSERT INTO unsearched (number) VALUES (new.id << 24);
END;
