-- Undo: before-images, and runs that put them back.
ALTER TABLE dunlin.run ADD COLUMN IF NOT EXISTS undoes uuid REFERENCES dunlin.run (id);  -- the run that this one takes back
-- What the shards said, for when they are forgotten.
ALTER TABLE dunlin.run ADD COLUMN IF NOT EXISTS rows_done bigint;
ALTER TABLE dunlin.run ADD COLUMN IF NOT EXISTS rows_changed bigint;

-- One row for each row of a table whose kept columns a batch has changed, written in the batch's own transaction; values
-- as text, as PostgreSQL prints them under pinned settings. An undo deletes what it puts back, in the same transaction:
-- what is left then are rows that somebody has changed since. Values of the application's rows: no rights for PUBLIC.
CREATE TABLE IF NOT EXISTS dunlin.before_image (
  key text[] NOT NULL,
  relation text NOT NULL,
  step integer NOT NULL,
  run uuid NOT NULL REFERENCES dunlin.run (id),
  before text[] NOT NULL,
  after text[] NOT NULL,
  -- The key first: whatever the planner believes of a table without statistics, it looks up single rows.
  PRIMARY KEY (key, relation, step, run)
);
REVOKE ALL ON dunlin.before_image FROM PUBLIC;

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

-- Rows that an undo has left as they are, because somebody has changed or deleted them since.
CREATE OR REPLACE VIEW dunlin.left_by_undo AS
  SELECT u.name AS migration, u.id AS undo_run_id, b.relation, b.key
  FROM dunlin.run u JOIN dunlin.before_image b ON b.run = u.undoes
  WHERE u.outcome = 'undone';

-- As before, and: totals of runs whose shards are forgotten.
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

-- As before, and: once an undo has begun it fails.
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

UPDATE dunlin.meta SET ledger_version = 2 WHERE ledger_version < 2;
