-- Undo: what it left, and what was forgotten.
ALTER TABLE dunlin_store.run
  ADD COLUMN rows_left bigint NOT NULL DEFAULT 0,      -- of an undo: rows that were changed since
  ADD COLUMN some_left text[] NOT NULL DEFAULT '{}',   -- the first hundred of them, in words
  ADD COLUMN forgotten_at timestamptz;                 -- before-images and shard rows are dropped in the target
-- An undone migration counts as unfinished in the order of runs.
CREATE INDEX run_undone ON dunlin_store.run (target, place) WHERE kind = 'undo';
