-- Every run moves its thread in each index that has the time in it. One is enough: lists walk it for each agent of an
-- owner. `active` is a time from here on, no longer a count, so that nobody need look for the last one.

DROP INDEX threads_of_all;
DROP INDEX threads_of_owner;

-- Whoever makes a thread notes its name for searches: with a trigger, SQLite keeps each page it changes to take half a
-- statement back.
DROP TRIGGER a_thread_was_named;
