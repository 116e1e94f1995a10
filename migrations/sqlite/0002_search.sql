-- With `detail = 'none'`, SQLite (3.53 at least) finds its own index damaged after some secure deletes, though searches are
-- answered as they should be. The words are taken in anew.
DROP TABLE search;
CREATE VIRTUAL TABLE search USING fts5 (words, tokenize = 'ascii', detail = 'column', columnsize = 0);
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

DELETE FROM unsearched;
INSERT INTO unsearched (number) SELECT number FROM runs ORDER BY number;
INSERT INTO unsearched (number) SELECT id << 24 FROM threads WHERE name IS NOT NULL ORDER BY id;
UPDATE open_runs SET searched = 0;
