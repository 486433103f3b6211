-- What a run is for, whose place it takes, and who paused it.
ALTER TABLE dunlin_store.run
  ADD COLUMN kind text NOT NULL DEFAULT 'apply',  -- or baseline: only the record that it was done elsewhere
  ADD COLUMN follows uuid REFERENCES dunlin_store.run (id),  -- the run whose place it takes
  ADD COLUMN note text NOT NULL DEFAULT '',       -- of a baseline: who says so, and why
  ADD COLUMN paused_with_all boolean NOT NULL DEFAULT false;  -- by `pause all`, and not resumed since
