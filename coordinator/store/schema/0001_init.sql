-- The coordinator's store: what should be done. Forward-only; a shipped file is never edited.
CREATE TABLE dunlin_store.target (
  name text PRIMARY KEY,
  system_identifier text NOT NULL DEFAULT '',
  timeline integer NOT NULL DEFAULT 0,
  foreign_transactions integer NOT NULL DEFAULT -1,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE dunlin_store.agent (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  version text NOT NULL,
  targets text[] NOT NULL,
  slots integer NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  hungry_at timestamptz  -- when it last asked for more leases than there were
);

CREATE TABLE dunlin_store.run (
  id uuid PRIMARY KEY,
  migration text NOT NULL,
  target text NOT NULL,
  digest text NOT NULL,
  definition bytea NOT NULL,
  parameters jsonb NOT NULL DEFAULT '{}',
  state text NOT NULL,
  state_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- since when
  reason text NOT NULL DEFAULT '',
  throttled_reason text NOT NULL DEFAULT '',
  error text NOT NULL DEFAULT '',
  operator_name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,   -- of PLANNING or RUNNING, first time
  working_since timestamptz,  -- of the latest RUNNING
  finished_at timestamptz,
  revision bigint NOT NULL DEFAULT 0,
  oldest_revision bigint NOT NULL DEFAULT 0,  -- events up to it may have been pruned
  steps integer NOT NULL,
  step integer NOT NULL DEFAULT 0,
  planned_steps integer NOT NULL DEFAULT 0,
  planned_timeline integer NOT NULL DEFAULT 0,
  task_epoch bigint NOT NULL DEFAULT 0,
  preflight_passed boolean NOT NULL DEFAULT false,
  finalize_phase integer NOT NULL DEFAULT 0,
  reconcile_due boolean NOT NULL DEFAULT false,
  reconciles integer NOT NULL DEFAULT 0,
  concurrency_limit integer NOT NULL,
  concurrency_allowed integer NOT NULL DEFAULT 1,
  concurrency_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  pressure_seen boolean NOT NULL DEFAULT false,
  rows_per_second bigint NOT NULL DEFAULT 0,
  batch_time_ms bigint NOT NULL,
  pause_ms bigint NOT NULL DEFAULT 0,
  stop_after_rows bigint NOT NULL DEFAULT 0,
  stop_after_base bigint NOT NULL DEFAULT 0,  -- rows done when the canary began
  rows_total bigint NOT NULL DEFAULT 0,
  session_rows bigint NOT NULL DEFAULT 0,    -- rows done when it began to work (again)
  retries_asked bigint NOT NULL DEFAULT 0,   -- of rows that are set aside
  retries_done bigint NOT NULL DEFAULT 0,
  rows_retried bigint NOT NULL DEFAULT 0,    -- rows that they have changed
  rate double precision NOT NULL DEFAULT 0,
  rate_rows bigint NOT NULL DEFAULT 0,
  rate_at timestamptz,
  -- The order of runs on a target. `place` is the version by which a run begins: its own, or that of the migration
  -- which it stands in for.
  place text NOT NULL,
  supersedes text NOT NULL DEFAULT '',
  void boolean NOT NULL DEFAULT false,  -- counts as if it had never been: its file was replaced before any batch
  not_before timestamptz,  -- --at
  critical boolean NOT NULL DEFAULT false,
  approved_by text NOT NULL DEFAULT '',
  -- What the target's own record said last: '' = not asked, 'missing', 'open', or an outcome.
  confirmed text NOT NULL DEFAULT '',
  confirmed_at timestamptz,
  confirmed_finish_at timestamptz  -- by this store's clock
);
CREATE INDEX run_by_migration ON dunlin_store.run (migration, target, created_at);
CREATE INDEX run_by_place ON dunlin_store.run (target, place) WHERE state <> 'FINISHED';
CREATE INDEX run_by_supersedes ON dunlin_store.run (supersedes, target) WHERE supersedes <> '';
CREATE INDEX run_live ON dunlin_store.run (target) WHERE state NOT IN ('FINISHED', 'CANCELLED', 'FAILED');

CREATE TABLE dunlin_store.shard (
  id uuid PRIMARY KEY,
  run uuid NOT NULL REFERENCES dunlin_store.run (id),
  step integer NOT NULL,
  relation text NOT NULL DEFAULT '',
  lower text[],
  upper text[],
  cursor text[],
  epoch bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,
  rows_done bigint NOT NULL DEFAULT 0,
  rows_changed bigint NOT NULL DEFAULT 0,
  rows_total bigint NOT NULL DEFAULT 0,
  rows_left bigint NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false,
  lease_id uuid UNIQUE,
  agent uuid,
  acquire_id text,
  granted_at timestamptz,
  expires_at timestamptz,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  troubles integer NOT NULL DEFAULT 0,
  waiting text NOT NULL DEFAULT '',
  split_at timestamptz,
  revision bigint NOT NULL DEFAULT 0,
  place bigint GENERATED ALWAYS AS IDENTITY  -- as reported: plans report in key order
) WITH (fillfactor = 70);
CREATE INDEX shard_by_run ON dunlin_store.shard (run, step);

CREATE TABLE dunlin_store.task (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  run uuid NOT NULL REFERENCES dunlin_store.run (id),
  kind text NOT NULL,
  step integer NOT NULL DEFAULT 0,
  shard uuid,
  finish boolean NOT NULL DEFAULT false,
  done boolean NOT NULL DEFAULT false,
  found bigint NOT NULL DEFAULT 0,
  retry bigint NOT NULL DEFAULT 0,  -- quarantine: the retries_asked that it answers; 0 = it retries nothing
  task_epoch bigint NOT NULL DEFAULT 0,
  lease_id uuid UNIQUE,
  agent uuid,
  acquire_id text,
  granted_at timestamptz,
  expires_at timestamptz,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  troubles integer NOT NULL DEFAULT 0,
  waiting text NOT NULL DEFAULT ''
);
CREATE INDEX task_by_run ON dunlin_store.task (run);

-- Rows that are set aside, as the targets' ledgers have them; those that a retry has done are gone.
CREATE TABLE dunlin_store.quarantine (
  id uuid PRIMARY KEY,
  run uuid NOT NULL REFERENCES dunlin_store.run (id),
  shard uuid NOT NULL,
  step integer NOT NULL,
  relation text NOT NULL,
  key_columns text[] NOT NULL,
  key text[] NOT NULL,
  rows bigint NOT NULL,
  sqlstate text NOT NULL,
  constraint_name text NOT NULL,
  table_name text NOT NULL,
  tries integer NOT NULL,
  state text NOT NULL,  -- quarantined; accepting: asked for, not yet in the ledger; accepted
  accepted_by text NOT NULL DEFAULT '',
  accepted_reason text NOT NULL DEFAULT '',
  failed_at timestamptz NOT NULL,
  tried_at timestamptz NOT NULL,
  reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  place bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX quarantine_by_run ON dunlin_store.quarantine (run, place);

-- Questions to a target and small changes of its ledger that belong to no run: whoever serves the target answers with
-- its next heartbeats, on a thread of its own, so that shards in work do not keep the answer back.
CREATE TABLE dunlin_store.target_task (
  id uuid PRIMARY KEY,
  target text NOT NULL,
  kind text NOT NULL,
  request bytea NOT NULL,  -- TargetTask of the agent protocol
  answer bytea,            -- CompleteTargetTaskRequest
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  agent uuid,
  expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX target_task_open ON dunlin_store.target_task (target, created_at) WHERE answer IS NULL;

CREATE TABLE dunlin_store.event (
  run uuid NOT NULL REFERENCES dunlin_store.run (id),
  revision bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL DEFAULT '',
  peer text NOT NULL DEFAULT '',
  shard uuid,
  old_value text NOT NULL DEFAULT '',
  new_value text NOT NULL DEFAULT '',
  audit boolean NOT NULL,
  PRIMARY KEY (run, revision)
);

-- What has been told of runs to the URL of --notify.
CREATE TABLE dunlin_store.notified (
  run uuid PRIMARY KEY REFERENCES dunlin_store.run (id),
  revision bigint NOT NULL,  -- told up to it
  claimed_until timestamptz NOT NULL DEFAULT '-infinity',  -- a coordinator is at it
  noted_at timestamptz NOT NULL DEFAULT '-infinity',
  tries integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT '-infinity',
  mark text NOT NULL DEFAULT '',  -- how far the run was at mark_at
  mark_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  stall_told boolean NOT NULL DEFAULT false  -- that nothing has moved since
) WITH (fillfactor = 50);

CREATE TABLE dunlin_store.request (
  id text PRIMARY KEY,
  fingerprint text NOT NULL,
  response bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX request_by_age ON dunlin_store.request (at);
