-- What is measured on a target, by which agent, and what it means for each run in work.
CREATE TABLE dunlin_store.target_signals (
  target text PRIMARY KEY,
  agent uuid,              -- has the duty to measure
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  board bytea,             -- TargetSignals of the agent protocol
  measured_at timestamptz, -- of the board
  alone_seconds bigint NOT NULL DEFAULT 0  -- nobody but Dunlin was at work for so long then
) WITH (fillfactor = 50);

CREATE TABLE dunlin_store.pace (
  run uuid PRIMARY KEY REFERENCES dunlin_store.run (id),
  rung integer NOT NULL,
  too_much integer NOT NULL,
  pressure_seen boolean NOT NULL,
  pressed_alone boolean NOT NULL,
  was_alone boolean NOT NULL,
  -- Seconds by this database's clock; 0 = never.
  changed_at double precision NOT NULL,
  pressed_at double precision NOT NULL,
  busy_at double precision NOT NULL,
  shards integer NOT NULL,       -- in work at once; other runs on the target may leave it less
  batch_ms bigint NOT NULL,
  duty double precision NOT NULL,
  reasons text[] NOT NULL,       -- "seconds key": since when each reason has held
  signature text NOT NULL,       -- of what was last told as an event
  shown_at double precision NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE dunlin_store.run ADD COLUMN priority integer NOT NULL DEFAULT 100;

-- What an operator changed of a run's limits. The limits in force stand in the run; `base` comes back at `until`.
CREATE TABLE dunlin_store.throttle (
  run uuid PRIMARY KEY REFERENCES dunlin_store.run (id),
  ratio double precision NOT NULL DEFAULT 1,
  until timestamptz,  -- NULL = for good
  base_concurrency integer,
  base_rows_per_second bigint,
  base_batch_time_ms bigint,
  base_ratio double precision,
  throttled_by text NOT NULL
);
