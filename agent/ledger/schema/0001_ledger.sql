-- The ledger: what has been done to this database, and the partition of it. Idempotent: running it again changes nothing.
-- Dunlin's agents run it themselves when their role may CREATE in the database; else run it as the owner.
CREATE SCHEMA IF NOT EXISTS dunlin;
COMMENT ON SCHEMA dunlin IS 'Dunlin: record of data migrations. Do not edit; see dunlin.progress and dunlin.history.';

-- One row. The store that owns this target; a second store is refused.
CREATE TABLE IF NOT EXISTS dunlin.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  ledger_version integer NOT NULL,
  store_id uuid,
  store_name text
);
INSERT INTO dunlin.meta (ledger_version) VALUES (1) ON CONFLICT DO NOTHING;

-- When another store took this target over, who said so, and why.
CREATE TABLE IF NOT EXISTS dunlin.adoption (
  adopted_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
  former_store_id uuid,
  former_store_name text,
  store_id uuid NOT NULL,
  store_name text NOT NULL,
  adopted_by text NOT NULL,
  reason text NOT NULL
);

-- Kept for ever.
CREATE TABLE IF NOT EXISTS dunlin.run (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  digest text NOT NULL,
  definition bytea NOT NULL,
  parameters jsonb NOT NULL DEFAULT '{}',
  store_id uuid NOT NULL,
  task_epoch bigint NOT NULL DEFAULT 0,
  system_identifier text NOT NULL,
  timeline integer NOT NULL,
  started_at timestamptz NOT NULL,
  outcome text CHECK (outcome IN ('finished', 'baseline', 'superseded', 'undone')),
  finished_at timestamptz,
  rows_total bigint NOT NULL DEFAULT 0,
  supersedes text NOT NULL DEFAULT '',  -- the migration that this one stands in for
  soak interval NOT NULL DEFAULT '7 days',  -- what require() asks for unless told otherwise
  note text NOT NULL DEFAULT '',  -- of a baseline: who said so, and why
  undoes uuid REFERENCES dunlin.run (id),  -- the run that this one takes back
  rows_left bigint NOT NULL DEFAULT 0,     -- of an undo: what it did not put back
  forgotten_at timestamptz,  -- since then its before-images and shards are dropped; it cannot be undone
  rows_done bigint, rows_changed bigint  -- what its shards said, when they are forgotten
);
CREATE UNIQUE INDEX IF NOT EXISTS run_one_per_name ON dunlin.run (name)
  WHERE outcome IS DISTINCT FROM 'superseded' AND outcome IS DISTINCT FROM 'undone';

-- One row per shard (lower, upper] of a relation; one without a relation per `once` step. Keys are text as PostgreSQL
-- prints them under pinned settings. No index on a column that a batch changes, so that its update is HOT.
CREATE TABLE IF NOT EXISTS dunlin.shard (
  id uuid PRIMARY KEY,
  run uuid NOT NULL REFERENCES dunlin.run (id),
  step integer NOT NULL,
  relation text,
  lower text[],
  upper text[],
  collations text NOT NULL DEFAULT '',
  epoch bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,
  cursor text[],
  rows_done bigint NOT NULL DEFAULT 0,
  rows_changed bigint NOT NULL DEFAULT 0,
  rows_total bigint NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (relation IS NULL OR upper IS NOT NULL),
  CHECK (NOT done OR relation IS NULL OR (cursor IS NOT NULL AND cursor = upper))
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX IF NOT EXISTS shard_run ON dunlin.shard (run, step);

-- Rows that failed alone and were set aside: one key value each, usually one row. The batch that did so changed nothing and
-- moved the cursor past `key`, in the transaction that inserted the row here. No values of rows but the key.
CREATE TABLE IF NOT EXISTS dunlin.quarantine (
  id uuid PRIMARY KEY,
  run uuid NOT NULL REFERENCES dunlin.run (id),
  shard uuid NOT NULL,
  seq bigint NOT NULL,        -- of the batch that set it aside: rows of a shard are in the order of their keys
  step integer NOT NULL,
  relation text NOT NULL,
  key_columns text[] NOT NULL,
  lower text[],               -- the cursor before it
  key text[] NOT NULL,
  rows bigint NOT NULL,
  sqlstate text NOT NULL,
  constraint_name text NOT NULL DEFAULT '',
  table_name text NOT NULL DEFAULT '',
  tries integer NOT NULL DEFAULT 1,
  state text NOT NULL DEFAULT 'quarantined' CHECK (state IN ('quarantined', 'accepted', 'done')),
  accepted_by text NOT NULL DEFAULT '',
  accepted_reason text NOT NULL DEFAULT '',
  rows_changed bigint NOT NULL DEFAULT 0,  -- by the retry that succeeded
  failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tried_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS quarantine_run ON dunlin.quarantine (run);
CREATE INDEX IF NOT EXISTS quarantine_shard ON dunlin.quarantine (shard);

-- One row for each row of a table whose kept columns a batch has changed, written in the batch's own transaction; values
-- as text, as PostgreSQL prints them under pinned settings. An undo deletes what it puts back, in the same transaction:
-- what is left then are rows that somebody has changed since. Values of the application's rows: no rights for PUBLIC.
-- No foreign key: it would look up the run for each row.
CREATE TABLE IF NOT EXISTS dunlin.before_image (
  key text[] NOT NULL,
  relation text NOT NULL,
  step integer NOT NULL,
  run uuid NOT NULL,
  before text[] NOT NULL,
  after text[] NOT NULL,
  -- The key first: whatever the planner believes of a table without statistics, it looks up single rows.
  PRIMARY KEY (key, relation, step, run)
);
REVOKE ALL ON dunlin.before_image FROM PUBLIC;

-- Why a run goes slower than it could, noted here by the agent that measures: for people who have only SQL.
CREATE TABLE IF NOT EXISTS dunlin.pace (
  run uuid PRIMARY KEY REFERENCES dunlin.run (id) ON DELETE CASCADE,
  throttled_reason text NOT NULL,
  noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The DBA's switch; '' = every migration.
CREATE TABLE IF NOT EXISTS dunlin.stopped (
  migration text PRIMARY KEY,
  why text NOT NULL,
  stopped_by text NOT NULL DEFAULT session_user,
  stopped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- First statement of every batch, outside any savepoint. Takes the shard's row lock before any data row is touched, and
-- *raises* unless epoch, seq and upper are the caller's: an UPDATE that matches no row is not an error, and the rest of
-- a pipeline would run and commit. DN001: not yours (any more). DN002: stopped in the database; the message says why.
CREATE OR REPLACE FUNCTION dunlin.fence(
  p_shard uuid, p_epoch bigint, p_seq bigint, p_upper text[], p_budget_ms bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $fence$
DECLARE
  v_shard record;
  v_why text;
BEGIN
  SELECT s.run, s.epoch, s.seq, s.upper, s.done INTO v_shard
    FROM dunlin.shard s WHERE s.id = p_shard FOR NO KEY UPDATE;
  IF NOT FOUND OR v_shard.epoch <> p_epoch OR v_shard.seq <> p_seq
     OR v_shard.upper IS DISTINCT FROM p_upper OR v_shard.done THEN
    RAISE EXCEPTION USING ERRCODE = 'DN001', MESSAGE = 'the shard belongs to a newer epoch';
  END IF;
  SELECT t.why INTO v_why FROM dunlin.stopped t
    WHERE t.migration = '' OR t.migration = (SELECT r.name FROM dunlin.run r WHERE r.id = v_shard.run)
    ORDER BY t.migration LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'DN002', MESSAGE = v_why;
  END IF;
  PERFORM dunlin.spend(p_budget_ms);
END
$fence$;

-- Bounds the statement that follows to what is left of the transaction's budget, by the server's own clock. In PL/pgSQL, which
-- keeps its plan: three times a batch a function in SQL is planned anew.
CREATE OR REPLACE FUNCTION dunlin.spend(p_budget_ms bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $spend$
BEGIN
  PERFORM set_config('statement_timeout',
    greatest(1, p_budget_ms - (extract(epoch FROM clock_timestamp() - now()) * 1000)::bigint)::text, true);
END
$spend$;

-- Last statement of every batch before COMMIT: the checkpoint, in the same transaction as the rows.
CREATE OR REPLACE FUNCTION dunlin.advance(
  p_shard uuid, p_epoch bigint, p_cursor text[], p_rows bigint, p_changed bigint, p_done boolean,
  p_budget_ms bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $advance$
BEGIN
  UPDATE dunlin.shard s
    SET cursor = p_cursor, seq = s.seq + 1, rows_done = s.rows_done + p_rows,
        rows_changed = s.rows_changed + p_changed, done = p_done, updated_at = clock_timestamp()
    WHERE s.id = p_shard AND s.epoch = p_epoch;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'DN001', MESSAGE = 'the shard belongs to a newer epoch';
  END IF;
  PERFORM dunlin.spend(p_budget_ms);
END
$advance$;

-- Called when a batch with kept columns has deleted rows: DN007. When a row came into its range behind the locks, and was
-- changed without a before-image: 40001, so that the batch is tried again.
CREATE OR REPLACE FUNCTION dunlin.check_images(p_gone bigint, p_late bigint)
RETURNS void LANGUAGE plpgsql STABLE AS $check_images$
BEGIN
  IF p_gone > 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'DN007', MESSAGE = 'the batch has deleted rows, which before-images cannot bring back';
  END IF;
  IF p_late > 0 THEN
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'rows came into the range of a batch behind its locks';
  END IF;
END
$check_images$;

-- Drops the shards of a run that is over, and takes note that its before-images go too: from then on it cannot be undone.
-- Answers how many shards, or raises DN008. An undo begins by changing the run's row, and waits for the lock here.
CREATE OR REPLACE FUNCTION dunlin.forget(p_run uuid, p_store uuid)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $forget$
DECLARE
  v_run record;
  v_shards bigint;
BEGIN
  SELECT r.outcome INTO v_run FROM dunlin.run r WHERE r.id = p_run AND r.store_id = p_store FOR NO KEY UPDATE;
  IF NOT FOUND OR v_run.outcome IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'DN008', MESSAGE = 'the run is not over in the ledger, so it needs its shards and before-images';
  END IF;
  -- Behind the lock: it sees an undo that began meanwhile.
  IF EXISTS (SELECT 1 FROM dunlin.run u WHERE u.undoes = p_run AND u.outcome IS NULL) THEN
    RAISE EXCEPTION USING ERRCODE = 'DN008', MESSAGE = 'the run is being undone, and that needs its shards and before-images';
  END IF;
  UPDATE dunlin.run r
    SET forgotten_at = clock_timestamp(),
        rows_done = (SELECT coalesce(sum(s.rows_done), 0) FROM dunlin.shard s WHERE s.run = p_run),
        rows_changed = (SELECT coalesce(sum(s.rows_changed), 0) FROM dunlin.shard s WHERE s.run = p_run)
    WHERE r.id = p_run AND r.forgotten_at IS NULL;
  DELETE FROM dunlin.shard s WHERE s.run = p_run;
  GET DIAGNOSTICS v_shards = ROW_COUNT;
  RETURN v_shards;
END
$forget$;

-- First statement of plan, finalize and reconcile: locks the run and raises its task epoch, or raises DN003; DN009 when another
-- store has adopted the target, compared on the row that is locked: it may have been a moment ago.
CREATE OR REPLACE FUNCTION dunlin.begin_task(p_run uuid, p_store uuid, p_task_epoch bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $begin_task$
BEGIN
  UPDATE dunlin.run r SET task_epoch = p_task_epoch
    WHERE r.id = p_run AND r.store_id = p_store AND r.task_epoch < p_task_epoch;
  IF NOT FOUND THEN
    IF EXISTS (SELECT 1 FROM dunlin.run r WHERE r.id = p_run AND r.store_id <> p_store) THEN
      RAISE EXCEPTION USING ERRCODE = 'DN009', MESSAGE = 'another store owns this target now, so this one changes nothing here; '
        'to take it over from the ledger: dunlin adopt';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'DN003', MESSAGE = 'a newer task of this run has begun';
  END IF;
END
$begin_task$;

-- The same for a plan, which inserts all shards of a step or, when an earlier try has, none: DN004.
CREATE OR REPLACE FUNCTION dunlin.begin_plan(p_run uuid, p_store uuid, p_task_epoch bigint, p_step integer)
RETURNS void LANGUAGE plpgsql VOLATILE AS $begin_plan$
BEGIN
  PERFORM dunlin.begin_task(p_run, p_store, p_task_epoch);
  IF EXISTS (SELECT 1 FROM dunlin.shard s WHERE s.run = p_run AND s.step = p_step) THEN
    RAISE EXCEPTION USING ERRCODE = 'DN004', MESSAGE = 'this step has been planned';
  END IF;
END
$begin_plan$;

-- Another store takes the target over: from the end of this transaction on, nothing of the former one commits here.
--  * The rows of all runs are locked so that nobody inserts a shard meanwhile (its foreign key would have to lock its run),
--    and change hands: begin_task compares the store, and plan, finalize, reconcile and retries begin with it.
--  * Open shards get another id, behind their row locks and so behind any batch in flight. A shard's id is all that a claim or
--    a fence can name it by, the store learns it from plan, split and reconcile alone, and those are refused to the former one.
-- Answers what owned the target before; again by the same store: that store, and nothing changes.
CREATE OR REPLACE FUNCTION dunlin.adopt(p_store uuid, p_store_name text, p_by text, p_reason text)
RETURNS TABLE (former_id uuid, former_name text) LANGUAGE plpgsql VOLATILE AS $adopt$
BEGIN
  SELECT m.store_id, m.store_name INTO former_id, former_name FROM dunlin.meta m FOR UPDATE;
  IF former_id IS DISTINCT FROM p_store THEN
    INSERT INTO dunlin.adoption (former_store_id, former_store_name, store_id, store_name, adopted_by, reason)
      VALUES (former_id, former_name, p_store, p_store_name, p_by, p_reason);
    UPDATE dunlin.meta SET store_id = p_store, store_name = p_store_name;
    PERFORM 1 FROM dunlin.run r ORDER BY r.id FOR UPDATE;
    UPDATE dunlin.run r SET store_id = p_store, task_epoch = r.task_epoch + 1;
    UPDATE dunlin.shard s SET id = md5(s.id::text || p_store::text)::uuid, epoch = s.epoch + 1
      FROM dunlin.run r WHERE r.id = s.run AND r.outcome IS NULL;
    UPDATE dunlin.quarantine q SET shard = md5(q.shard::text || p_store::text)::uuid
      FROM dunlin.run r WHERE r.id = q.run AND r.outcome IS NULL;
  END IF;
  RETURN NEXT;
END
$adopt$;

-- First statement of each try of a row that was set aside: locks the run and the row, or raises DN003 (a newer task of the run
-- has begun), DN002 (stopped in the database), DN006 (it is done, or accepted).
CREATE OR REPLACE FUNCTION dunlin.fence_retry(p_row uuid, p_task_epoch bigint, p_budget_ms bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $fence_retry$
DECLARE
  v_run record;
  v_state text;
  v_why text;
BEGIN
  SELECT r.name, r.task_epoch, r.outcome INTO v_run FROM dunlin.run r
    WHERE r.id = (SELECT q.run FROM dunlin.quarantine q WHERE q.id = p_row) FOR NO KEY UPDATE;
  IF NOT FOUND OR v_run.task_epoch <> p_task_epoch OR v_run.outcome IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'DN003', MESSAGE = 'a newer task of this run has begun';
  END IF;
  SELECT t.why INTO v_why FROM dunlin.stopped t
    WHERE t.migration IN ('', v_run.name) ORDER BY t.migration LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'DN002', MESSAGE = v_why;
  END IF;
  SELECT q.state INTO v_state FROM dunlin.quarantine q WHERE q.id = p_row FOR UPDATE;
  IF v_state <> 'quarantined' THEN
    RAISE EXCEPTION USING ERRCODE = 'DN006', MESSAGE = 'the row is not set aside any more';
  END IF;
  PERFORM dunlin.spend(p_budget_ms);
END
$fence_retry$;

-- SELECT dunlin.stop('database is on fire'); SELECT dunlin.go(); one migration: dunlin.stop('why', 'name').
CREATE OR REPLACE FUNCTION dunlin.stop(p_why text, p_migration text DEFAULT '')
RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $stop$
  INSERT INTO dunlin.stopped (migration, why) VALUES (p_migration, p_why)
    ON CONFLICT (migration) DO UPDATE SET why = excluded.why, stopped_by = session_user,
      stopped_at = clock_timestamp()
    RETURNING CASE WHEN migration = '' THEN 'every migration' ELSE migration END
      || ' stops before its next batch; SELECT dunlin.go() lets it go on';
$stop$;

CREATE OR REPLACE FUNCTION dunlin.go(p_migration text DEFAULT '')
RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $go$
  WITH gone AS (
    DELETE FROM dunlin.stopped WHERE p_migration = '' OR migration = p_migration RETURNING migration)
  SELECT count(*) || ' stop(s) lifted' FROM gone;
$go$;

REVOKE ALL ON FUNCTION dunlin.stop(text, text), dunlin.go(text) FROM PUBLIC;

-- For schema migrations, before they drop what a data migration needed or build on what it made:
--   SELECT dunlin.require('20261123120000_backfill_cancelled_on');
--   SELECT dunlin.require('20261123120000_backfill_cancelled_on', soak => interval '1 day');
-- Raises DN005 until the migration is finished here and the soak has passed (default: the file's). With
-- ALTER DATABASE app SET dunlin.guard = 'warn' it warns instead: for development. Any role may call it.
CREATE OR REPLACE FUNCTION dunlin.require(migration text, soak interval DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $require$
#variable_conflict use_column
DECLARE
  v_name text := require.migration;
  v_next text;
  v_run record;
  v_done bigint;
  v_soak interval;
  v_why text;
BEGIN
  IF v_name IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'DN005', MESSAGE = 'dunlin.require needs the name of a migration';
  END IF;
  -- Its version will do.
  SELECT r.name INTO v_next FROM dunlin.run r
    WHERE v_name ~ '^[0-9]{14}$' AND split_part(r.name, '_', 1) = v_name ORDER BY r.started_at DESC LIMIT 1;
  v_name := coalesce(v_next, v_name);
  -- What stands in for it, at most so many times over.
  FOR i IN 1..100 LOOP
    SELECT r.name INTO v_next FROM dunlin.run r WHERE r.supersedes = v_name ORDER BY r.started_at DESC LIMIT 1;
    EXIT WHEN NOT FOUND;
    v_name := v_next;
  END LOOP;
  SELECT r.* INTO v_run FROM dunlin.run r WHERE r.name = v_name
    ORDER BY r.outcome IS NOT DISTINCT FROM 'superseded', r.outcome IS NOT DISTINCT FROM 'undone',
             r.started_at DESC LIMIT 1;
  IF NOT FOUND THEN
    v_why := format('data migration %s was never run on database %s; run it first: dunlin up',
                    v_name, current_database());
  ELSIF v_run.outcome = 'baseline' THEN
    RETURN format('data migration %s is recorded as done elsewhere: %s', v_name, v_run.note);
  ELSIF v_run.outcome = 'finished' THEN
    v_soak := coalesce(require.soak, v_run.soak);
    IF v_run.finished_at + v_soak <= clock_timestamp() THEN
      RETURN format('data migration %s is finished since %s',
                    v_name, to_char(v_run.finished_at, 'YYYY-MM-DD HH24:MI:SSOF'));
    END IF;
    v_why := format('data migration %s is finished on database %s since %s, but has to soak for %s, until %s; run '
                    'this schema migration again then',
                    v_name, current_database(), to_char(v_run.finished_at, 'YYYY-MM-DD HH24:MI:SSOF'), justify_hours(v_soak),
                    to_char(v_run.finished_at + v_soak, 'YYYY-MM-DD HH24:MI:SSOF'));
  ELSIF v_run.undoes IS NOT NULL AND v_run.outcome IS NULL THEN
    v_why := format('data migration %s is being undone on database %s; see how far: dunlin show %s',
                    v_name, current_database(), v_name);
  ELSIF v_run.outcome = 'undone' THEN
    v_why := format('data migration %s was undone on database %s; run it again: dunlin redo %s',
                    v_name, current_database(), v_name);
  ELSIF v_run.outcome = 'superseded' THEN
    v_why := format('data migration %s was replaced on database %s, and what replaced it has not begun; run it: '
                    'dunlin up', v_name, current_database());
  ELSE
    SELECT coalesce(sum(s.rows_done), 0) INTO v_done FROM dunlin.shard s WHERE s.run = v_run.id;
    v_why := format('data migration %s is not finished on database %s (%s of about %s rows); see why: dunlin show %s; '
                    'wait for it: dunlin gate --wait %s',
                    v_name, current_database(), v_done, greatest(v_run.rows_total, v_done), v_name, v_name);
  END IF;
  IF current_setting('dunlin.guard', true) = 'warn' THEN
    RAISE WARNING USING MESSAGE = v_why;
    RETURN v_why;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'DN005', MESSAGE = v_why,
    HINT = 'A warning is enough in development: ALTER DATABASE ' || quote_ident(current_database())
           || ' SET dunlin.guard = ''warn''';
END
$require$;

-- A schema migration's role is seldom the ledger's owner. The tables stay closed to it.
GRANT USAGE ON SCHEMA dunlin TO PUBLIC;
GRANT EXECUTE ON FUNCTION dunlin.require(text, interval) TO PUBLIC;

-- For people who have only SQL: live runs, and all of them.
CREATE OR REPLACE VIEW dunlin.progress AS
  SELECT r.name AS migration, r.id AS run_id, r.started_at,
         coalesce(sum(s.rows_done), 0)::bigint AS rows_done,
         greatest(r.rows_total, coalesce(sum(s.rows_done), 0))::bigint AS rows_total,
         coalesce(sum(s.rows_changed), 0)::bigint AS rows_changed,
         count(s.id) AS shards, count(s.id) FILTER (WHERE s.done) AS shards_done,
         max(s.updated_at) AS last_batch_at,
         (SELECT string_agg(t.why, '; ') FROM dunlin.stopped t WHERE t.migration IN ('', r.name)) AS stopped_why,
         (SELECT coalesce(sum(q.rows), 0)::bigint FROM dunlin.quarantine q
          WHERE q.run = r.id AND q.state <> 'done') AS rows_quarantined,
         -- A note that nobody has renewed is of the past.
         coalesce((SELECT p.throttled_reason FROM dunlin.pace p
                   WHERE p.run = r.id AND p.noted_at > clock_timestamp() - interval '15 seconds'), '') AS throttled_reason
  FROM dunlin.run r LEFT JOIN dunlin.shard s ON s.run = r.id
  WHERE r.outcome IS NULL
  GROUP BY r.id;

CREATE OR REPLACE VIEW dunlin.history AS
  SELECT r.name AS migration, r.id AS run_id, r.digest, r.started_at, r.finished_at,
         CASE WHEN r.undoes IS NOT NULL THEN CASE WHEN r.outcome = 'undone' THEN 'undo' ELSE 'undo open' END
              ELSE coalesce(r.outcome, 'open') END AS outcome,
         coalesce(sum(s.rows_done), r.rows_done, 0)::bigint AS rows_done,
         coalesce(sum(s.rows_changed), r.rows_changed, 0)::bigint AS rows_changed,
         (SELECT coalesce(sum(q.rows), 0)::bigint FROM dunlin.quarantine q
          WHERE q.run = r.id AND q.state <> 'done') AS rows_quarantined
  FROM dunlin.run r LEFT JOIN dunlin.shard s ON s.run = r.id
  GROUP BY r.id;

-- Rows that an undo has left as they are, because somebody has changed or deleted them since.
CREATE OR REPLACE VIEW dunlin.left_by_undo AS
  SELECT u.name AS migration, u.id AS undo_run_id, b.relation, b.key
  FROM dunlin.run u JOIN dunlin.before_image b ON b.run = u.undoes
  WHERE u.outcome = 'undone';
