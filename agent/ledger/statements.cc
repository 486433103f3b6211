#include "agent/ledger/statements.h"

namespace dunlin::agent::sql {

const pg::Statement kFindTable{"d_find_table", R"sql(
SELECT c.oid, quote_ident(n.nspname), quote_ident(c.relname), c.relkind
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2)sql"};

const pg::Statement kPrimaryKey{"d_primary_key", R"sql(
SELECT a.attname
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1::oid AND i.indisprimary AND k.place <= i.indnkeyatts
ORDER BY k.place)sql"};

// A domain's keys are bound as its base type, so that its constraints are not run on bounds.
// The type as a cast that cuts nothing off: with -1 it is bpchar and "bit", where NULL would give
// `character` and `bit`, which mean a length of one.
const pg::Statement kKeyColumn{"d_key_column", R"sql(
SELECT quote_ident(a.attname), t.base, pg_catalog.format_type(t.base, -1),
       CASE WHEN a.attcollation <> 0
            THEN (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname)
                  FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
                  WHERE co.oid = a.attcollation) END,
       a.attnotnull, a.attgenerated <> '',
       EXISTS (SELECT 1 FROM pg_catalog.pg_type ty WHERE ty.oid = t.base AND
         (ty.typtype IN ('e', 'r', 'm') OR ty.typcategory = 'A' OR EXISTS (
           SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am am ON am.oid = o.opcmethod
           WHERE am.amname = 'btree' AND o.opcdefault AND (o.opcintype = t.base OR EXISTS (
             SELECT 1 FROM pg_catalog.pg_cast c WHERE c.castsource = t.base AND c.casttarget = o.opcintype
               AND c.castmethod = 'b' AND c.castcontext = 'i'))))),
       CASE WHEN a.attcollation = 100
            THEN (SELECT coalesce(pg_catalog.pg_database_collation_actual_version(d.oid), '')
                  FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            WHEN a.attcollation <> 0
            THEN coalesce(pg_catalog.pg_collation_actual_version(a.attcollation), '') END
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL (
  WITH RECURSIVE base(oid, typtype, typbasetype) AS (
    SELECT ty.oid, ty.typtype, ty.typbasetype FROM pg_catalog.pg_type ty WHERE ty.oid = a.atttypid
    UNION ALL
    SELECT ty.oid, ty.typtype, ty.typbasetype
    FROM base b JOIN pg_catalog.pg_type ty ON ty.oid = b.typbasetype WHERE b.typtype = 'd')
  SELECT b.oid AS base FROM base b WHERE b.typtype <> 'd') t
WHERE a.attrelid = $1::oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)sql"};

const pg::Statement kKeyIndex{"d_key_index", R"sql(
WITH key AS (
  SELECT array_agg(a.attnum::int ORDER BY k.place) AS nums
  FROM unnest($2::text[]) WITH ORDINALITY AS k(name, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::oid AND a.attname = k.name),
indexes AS (
  SELECT i.indisunique AND i.indpred IS NULL AND i.indisvalid AND i.indimmediate AS strict,
         i.indisvalid AND i.indpred IS NULL AS whole, i.indnkeyatts,
         ARRAY(SELECT u.n::int FROM unnest(i.indkey) WITH ORDINALITY AS u(n, place)
               WHERE u.place <= i.indnkeyatts ORDER BY u.place) AS nums
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am am ON am.oid = c.relam
  WHERE i.indrelid = $1::oid AND am.amname = 'btree')
SELECT coalesce(bool_or(x.strict AND x.nums <@ key.nums), false)
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h
                         JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
                         WHERE h.inhparent = $1::oid AND p.relkind = 'r'),
       coalesce(bool_or(x.whole AND x.nums[1:cardinality(key.nums)] = key.nums), false)
FROM key LEFT JOIN indexes x ON true
GROUP BY key.nums)sql"};

const pg::Statement kLeaves{"d_leaves", R"sql(
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (
  SELECT t.relid FROM pg_catalog.pg_partition_tree($1::oid::regclass) t WHERE t.isleaf
  UNION ALL
  SELECT $1::oid WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_partition_tree($1::oid::regclass)))
ORDER BY c.oid)sql"};

const pg::Statement kTypeOid{"d_type_oid", "SELECT $1::text::regtype::oid"};

const pg::Statement kRelationBytes{"d_relation_bytes", R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT h.inhrelid FROM tree t JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid)
SELECT coalesce(sum(pg_catalog.pg_relation_size(c.oid)), 0)::bigint
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid WHERE c.relkind = 'r')sql"};

const pg::Statement kPlainNames{"d_plain_names", R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT h.inhrelid FROM tree t JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid)
SELECT n.nspname || '.' || c.relname
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)sql"};

// The timeline of pg_control_checkpoint() is stale until the next checkpoint; the name of the
// current WAL file is not.
const pg::Statement kIdentity{"d_identity", R"sql(
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
       ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int)sql"};

// A plain role sees neither xact_start nor the state of others, but every virtualxid and
// application_name.
const pg::Statement kForeignTransactions{"d_foreign_transactions", R"sql(
SELECT count(*)
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'
  AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND coalesce(a.application_name, '') NOT LIKE 'dunlin/%'
  AND coalesce(a.backend_type, 'client backend') = 'client backend')sql"};

// What the barrier waits for: transactions of others in this database, but vacuums, and prepared
// ones.
const pg::Statement kOpenTransactions{"d_open_transactions", R"sql(
SELECT 'vxid ' || l.virtualtransaction,
       'pid ' || l.pid || CASE WHEN coalesce(a.application_name, '') <> ''
                               THEN ' (' || a.application_name || ')' ELSE '' END
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'
  AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND coalesce(a.application_name, '') NOT LIKE 'dunlin/%'
  AND coalesce(a.backend_type, 'client backend') <> 'autovacuum worker'
  AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum v)
UNION ALL
SELECT 'prepared ' || p.gid, 'the prepared transaction ' || p.gid
FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database()
ORDER BY 1)sql"};

const pg::Statement kDeadlockTimeout{"d_deadlock_timeout", R"sql(
SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout')sql"};

const pg::Statement kTableFacts{"d_table_facts", R"sql(
SELECT (SELECT string_agg(quote_ident(t.tgname), ', ') FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'),
       (SELECT string_agg(quote_ident(r.rulename), ', ') FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid),
       c.relrowsecurity,
       (SELECT string_agg(f.conrelid::regclass::text || '.' || quote_ident(f.conname), ', ' ORDER BY f.oid)
        FROM pg_catalog.pg_constraint f WHERE f.confrelid = c.oid AND f.contype = 'f'),
       (SELECT string_agg(quote_ident(p.pubname), ', ') FROM pg_catalog.pg_publication p WHERE p.puballtables),
       (SELECT string_agg(quote_ident(p.pubname), ', ')
        FROM pg_catalog.pg_publication_tables pt JOIN pg_catalog.pg_publication p ON p.pubname = pt.pubname
        WHERE pt.schemaname = c.relnamespace::regnamespace::name AND pt.tablename = c.relname
          AND (p.pubupdate OR p.pubdelete)
          AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)))
FROM pg_catalog.pg_class c WHERE c.oid = $1::oid)sql"};

// Of these names, those under which some function is volatile; with the extension that brought it.
const pg::Statement kVolatileFunctions{"d_volatile_functions", R"sql(
SELECT DISTINCT p.proname, e.extname
FROM pg_catalog.pg_proc p
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE p.proname = ANY ($1::text[]) AND p.provolatile = 'v' AND p.prokind = 'f'
ORDER BY 1)sql"};

const pg::Statement kCurrentRole{"d_current_role", "SELECT quote_ident(current_user)"};

const pg::Statement kLedgerVersion{"", R"sql(
SELECT to_regclass('dunlin.meta') IS NOT NULL)sql"};

const pg::Statement kOwnerOfTarget{"d_owner_of_target", R"sql(
SELECT store_id, store_name, ledger_version FROM dunlin.meta)sql"};

const pg::Statement kTakeTarget{"d_take_target", R"sql(
UPDATE dunlin.meta SET store_id = $1::uuid, store_name = $2
WHERE store_id IS NULL OR store_id = $1::uuid)sql"};

const pg::Statement kInsertRun{"d_insert_run", R"sql(
INSERT INTO dunlin.run (id, name, digest, definition, parameters, store_id, system_identifier, timeline, started_at,
  supersedes, soak, undoes)
VALUES ($1::uuid, $2, $3, convert_to($4, 'UTF8'), $5::jsonb, $6::uuid, $7, $8::int, $9::timestamptz, $10,
  $11::double precision * interval '1 second', $12::uuid)
ON CONFLICT DO NOTHING)sql"};

const pg::Statement kRunById{"d_run_by_id", R"sql(
SELECT digest, outcome, store_id, system_identifier, timeline, rows_total FROM dunlin.run WHERE id = $1::uuid)sql"};

const pg::Statement kRunOutcomes{"d_run_outcomes", R"sql(
SELECT id, coalesce(outcome, 'open'),
  coalesce(extract(epoch FROM clock_timestamp() - finished_at), 0)::double precision
FROM dunlin.run ORDER BY started_at DESC LIMIT $1::int)sql"};

const pg::Statement kOtherRunOfName{"d_other_run_of_name", R"sql(
SELECT id, coalesce(outcome, '') FROM dunlin.run
WHERE name = $1 AND id <> $2::uuid
  AND outcome IS DISTINCT FROM 'superseded' AND outcome IS DISTINCT FROM 'undone'
FOR UPDATE)sql"};

// Waits for a batch in flight of a zombie, so that the next statement sees what was committed.
const pg::Statement kLockShardsOfRun{"d_lock_shards_of_run", R"sql(
SELECT id FROM dunlin.shard WHERE run = $1::uuid FOR UPDATE)sql"};

// A batch that only set a row aside changed nothing; a run whose shards were dropped (forget) did.
const pg::Statement kAnyBatchOfRun{"d_any_batch_of_run", R"sql(
SELECT EXISTS (
  SELECT 1 FROM dunlin.shard s WHERE s.run = $1::uuid AND s.seq > (
    SELECT count(*) FROM dunlin.quarantine q WHERE q.shard = s.id AND q.state <> 'done'))
  OR EXISTS (SELECT 1 FROM dunlin.run r WHERE r.id = $1::uuid AND r.rows_done > 0))sql"};

const pg::Statement kLeftOutOfShard{"d_left_out_of_shard", R"sql(
SELECT q.lower, q.key FROM dunlin.quarantine q WHERE q.shard = $1::uuid AND q.state <> 'done' ORDER BY q.seq)sql"};

const pg::Statement kDropShardsOfRun{"d_drop_shards_of_run", R"sql(
DELETE FROM dunlin.shard WHERE run = $1::uuid)sql"};

const pg::Statement kDropQuarantineOfRun{"d_drop_quarantine_of_run", R"sql(
DELETE FROM dunlin.quarantine WHERE run = $1::uuid)sql"};

const pg::Statement kSupersedeRun{"d_supersede_run", R"sql(
UPDATE dunlin.run SET outcome = 'superseded', finished_at = coalesce(finished_at, clock_timestamp()),
  task_epoch = task_epoch + 1
WHERE id = $1::uuid)sql"};

const pg::Statement kBaselineRun{"d_baseline_run", R"sql(
UPDATE dunlin.run SET outcome = 'baseline', note = $2, finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = $1::uuid)sql"};

const pg::Statement kUndoRun{"d_undo_run", R"sql(
UPDATE dunlin.run SET outcome = 'undone', finished_at = coalesce(finished_at, clock_timestamp()),
  task_epoch = task_epoch + 1
WHERE id = $1::uuid AND undoes IS NULL AND forgotten_at IS NULL AND (outcome IS NULL OR outcome = 'finished'))sql"};

// What an undo did not put back: how many rows, and some of their keys.
const pg::Statement kLeftByUndo{"d_left_by_undo", R"sql(
SELECT (SELECT count(*) FROM dunlin.before_image WHERE run = $1::uuid), relation, key
FROM dunlin.before_image WHERE run = $1::uuid ORDER BY relation, step, key LIMIT $2::int)sql"};

const pg::Statement kForget{"d_forget", "SELECT dunlin.forget($1::uuid, $2::uuid)"};
const pg::Statement kNoteLeft{"d_note_left", R"sql(
UPDATE dunlin.run SET rows_left = $2::bigint WHERE id = $1::uuid AND rows_left <> $2::bigint)sql"};

const pg::Statement kAdopt{"d_adopt", R"sql(
SELECT former_id, coalesce(former_name, '') FROM dunlin.adopt($1::uuid, $2, $3, $4))sql"};
// An undo behind the run that it takes back.
const pg::Statement kRunList{"d_run_list", R"sql(
SELECT id, name, coalesce(outcome, 'open') FROM dunlin.run ORDER BY undoes IS NOT NULL, started_at, id LIMIT $1::int)sql"};
const pg::Statement kReadRuns{"d_read_runs", R"sql(
SELECT r.id, r.name, r.digest, convert_from(r.definition, 'UTF8'), r.parameters, r.started_at,
  coalesce(r.outcome, 'open'), coalesce(extract(epoch FROM clock_timestamp() - r.finished_at), 0)::double precision,
  coalesce(r.undoes::text, ''), r.supersedes, r.note, r.task_epoch, r.rows_left, r.forgotten_at IS NOT NULL,
  r.rows_total,
  coalesce((SELECT sum(s.rows_changed) FROM dunlin.shard s WHERE s.run = r.id), r.rows_changed, 0)::bigint
FROM dunlin.run r WHERE r.id = ANY ($1::uuid[]) ORDER BY r.undoes IS NOT NULL, r.started_at, r.id)sql"};

const pg::Statement kImagePages{"d_image_pages", R"sql(
SELECT pg_relation_size('dunlin.before_image') / current_setting('block_size')::bigint)sql"};
// A part of the table at a time, by its pages: each is read once, whatever other runs have in it.
const pg::Statement kForgetImages{"d_forget_images", R"sql(
DELETE FROM dunlin.before_image
WHERE run = $1::uuid AND ctid >= format('(%s,0)', $2::bigint)::tid AND ctid < format('(%s,0)', $3::bigint)::tid)sql"};

// What another migration stands in for: its shards' epochs rise, so that no zombie of it passes the
// fence.
const pg::Statement kFenceOffShards{"d_fence_off_shards", R"sql(
UPDATE dunlin.shard SET epoch = epoch + 1 WHERE run = $1::uuid AND NOT done)sql"};

const pg::Statement kOpenRunOfName{"d_open_run_of_name", R"sql(
SELECT id FROM dunlin.run
WHERE name = $1 AND outcome IS DISTINCT FROM 'superseded' AND outcome IS DISTINCT FROM 'undone' FOR UPDATE)sql"};

const pg::Statement kBeginTask{"d_begin_task",
                               "SELECT dunlin.begin_task($1::uuid, $2::uuid, $3::bigint)"};

const pg::Statement kBeginPlan{"d_begin_plan",
                               "SELECT dunlin.begin_plan($1::uuid, $2::uuid, $3::bigint, $4::int)"};

const pg::Statement kInsertShard{"d_insert_shard", R"sql(
INSERT INTO dunlin.shard (id, run, step, relation, lower, upper, collations, rows_total)
VALUES ($1::uuid, $2::uuid, $3::int, $4, $5::text[], $6::text[], $7, $8::bigint))sql"};

// A range in which there is nothing to do.
const pg::Statement kInsertDoneShard{"d_insert_done_shard", R"sql(
INSERT INTO dunlin.shard (id, run, step, relation, lower, upper, collations, cursor, done)
VALUES ($1::uuid, $2::uuid, $3::int, $4, $5::text[], $6::text[], $7, $6::text[], true))sql"};

// A kept column as it can be written back.
const pg::Statement kKeptColumn{"d_kept_column", R"sql(
SELECT quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)sql"};

const pg::Statement kShardsOfRun{"d_shards_of_run", R"sql(
SELECT id, step, relation, lower, upper, epoch, seq, cursor, rows_done, rows_changed, done, rows_total
FROM dunlin.shard WHERE run = $1::uuid AND ($2::int < 0 OR step = $2::int))sql"};

const pg::Statement kSetRowsTotal{"d_set_rows_total", R"sql(
UPDATE dunlin.run SET rows_total = rows_total + $2::bigint WHERE id = $1::uuid)sql"};

const pg::Statement kSetPlannedOn{"d_set_planned_on", R"sql(
UPDATE dunlin.run SET system_identifier = $2, timeline = $3::int WHERE id = $1::uuid)sql"};

// Once per lease, committed synchronously; the agent works with what is returned. Waits for the row
// lock, and so for a batch in flight of the former owner.
const pg::Statement kClaim{"d_claim", R"sql(
UPDATE dunlin.shard s SET epoch = $2::bigint, updated_at = clock_timestamp()
FROM dunlin.run r
WHERE s.id = $1::uuid AND r.id = s.run AND r.id = $3::uuid AND r.digest = $4
  AND r.outcome IS NULL AND s.epoch < $2::bigint
  AND s.relation IS NOT DISTINCT FROM $5::text
  AND s.lower IS NOT DISTINCT FROM $6::text[] AND s.upper IS NOT DISTINCT FROM $7::text[]
RETURNING s.lower, s.upper, s.cursor, s.seq, s.done, s.rows_done, s.rows_changed, s.rows_total, s.collations)sql"};

// What ends a run changes its row and locks its shards in one transaction: a claim that waited for
// such a lock was granted by the run as it was before (EvalPlanQual reads only the locked row
// anew).
const pg::Statement kRunIsOpen{"d_run_is_open", R"sql(
SELECT EXISTS (SELECT 1 FROM dunlin.run r WHERE r.id = $1::uuid AND r.outcome IS NULL))sql"};

const pg::Statement kShardState{"d_shard_state", R"sql(
SELECT s.epoch FROM dunlin.shard s JOIN dunlin.run r ON r.id = s.run
WHERE s.id = $1::uuid AND r.digest = $2 AND r.outcome IS NULL
  AND s.lower IS NOT DISTINCT FROM $3::text[] AND s.upper IS NOT DISTINCT FROM $4::text[])sql"};

const pg::Statement kFence{"d_fence", R"sql(
SELECT dunlin.fence($1::uuid, $2::bigint, $3::bigint, $4::text[], $5::bigint))sql"};

const pg::Statement kSpend{"d_spend", "SELECT dunlin.spend($1::bigint)"};

const pg::Statement kAdvance{"d_advance", R"sql(
SELECT dunlin.advance($1::uuid, $2::bigint, $3::text[], $4::bigint, $5::bigint, $6::boolean, $7::bigint))sql"};

// Behind the fence, and before the advance that raises seq.
const pg::Statement kSetAside{"d_set_aside", R"sql(
INSERT INTO dunlin.quarantine (id, run, shard, seq, step, relation, key_columns, lower, key, rows, sqlstate,
  constraint_name, table_name)
SELECT $2::uuid, s.run, s.id, s.seq, s.step, s.relation, $3::text[], $4::text[], $5::text[], $6::bigint, $7, $8, $9
FROM dunlin.shard s WHERE s.id = $1::uuid
RETURNING extract(epoch FROM failed_at)::double precision)sql"};

#define DUNLIN_QUARANTINE_COLUMNS                                                         \
  "SELECT id, shard, step, relation, key_columns, key, rows, sqlstate, constraint_name, " \
  "table_name, tries, state, accepted_by, accepted_reason, "                              \
  "extract(epoch FROM failed_at)::double precision, "                                     \
  "extract(epoch FROM tried_at)::double precision FROM dunlin.quarantine "
const pg::Statement kQuarantineOfShard{"d_quarantine_of_shard", DUNLIN_QUARANTINE_COLUMNS
                                       "WHERE shard = $1::uuid AND state <> 'done' ORDER BY seq"};
const pg::Statement kQuarantineOfRun{
    "d_quarantine_of_run", DUNLIN_QUARANTINE_COLUMNS
    "WHERE run = $1::uuid AND state <> 'done' ORDER BY step, relation, shard, seq"};
#undef DUNLIN_QUARANTINE_COLUMNS

const pg::Statement kRowsRetried{"d_rows_retried", R"sql(
SELECT coalesce(sum(rows_changed), 0)::bigint FROM dunlin.quarantine WHERE run = $1::uuid AND state = 'done')sql"};

const pg::Statement kFenceRetry{"d_fence_retry", R"sql(
SELECT dunlin.fence_retry($1::uuid, $2::bigint, $3::bigint))sql"};

const pg::Statement kRetryDone{"d_retry_done", R"sql(
UPDATE dunlin.quarantine SET state = 'done', rows_changed = $2::bigint, tries = tries + 1, tried_at = clock_timestamp()
WHERE id = $1::uuid)sql"};

const pg::Statement kRetryFailed{"d_retry_failed", R"sql(
UPDATE dunlin.quarantine SET sqlstate = $2, constraint_name = $3, table_name = $4, tries = tries + 1,
  tried_at = clock_timestamp()
WHERE id = $1::uuid)sql"};

const pg::Statement kAcceptQuarantined{"d_accept_quarantined", R"sql(
UPDATE dunlin.quarantine SET state = 'accepted', accepted_by = $3, accepted_reason = $4
WHERE run = $1::uuid AND id = ANY ($2::uuid[]) AND state = 'quarantined')sql"};

const pg::Statement kCountQuarantined{"d_count_quarantined", R"sql(
SELECT count(*) FROM dunlin.quarantine WHERE run = $1::uuid AND state = 'quarantined')sql"};

const pg::Statement kMoveUpper{"d_move_upper", R"sql(
UPDATE dunlin.shard SET upper = $2::text[], rows_total = $3::bigint, updated_at = clock_timestamp()
WHERE id = $1::uuid)sql"};

const pg::Statement kInsertChild{"d_insert_child", R"sql(
INSERT INTO dunlin.shard (id, run, step, relation, lower, upper, collations, rows_total)
SELECT $2::uuid, s.run, s.step, s.relation, s.upper, $3::text[], s.collations, $4::bigint
FROM dunlin.shard s WHERE s.id = $1::uuid)sql"};

// Only a backend that blocks the claimant right now, names the same shard and a lower epoch: never
// a remembered pid, which may by now serve the application, and never a newer owner. One statement
// decides and acts.
// The claimant is found by its name: behind a pooler the pid that its connection knows is none of
// the server's.
const pg::Statement kTerminateBlockers{"d_terminate_blockers", R"sql(
SELECT count(pg_catalog.pg_terminate_backend(a.pid))
FROM pg_catalog.pg_stat_activity a
WHERE a.pid IN (SELECT unnest(pg_catalog.pg_blocking_pids(me.pid)) FROM pg_catalog.pg_stat_activity me
                WHERE me.application_name ~ ('^dunlin/[0-9]+/' || $1 || '/' || $2 || '$'))
  AND a.application_name ~ ('^dunlin/[0-9]+/' || $1 || '/[0-9]+$')
  AND split_part(a.application_name, '/', 4)::bigint < $2::bigint)sql"};

const pg::Statement kCountShards{"d_count_shards", R"sql(
SELECT count(*), count(*) FILTER (WHERE NOT done) FROM dunlin.shard WHERE run = $1::uuid)sql"};

const pg::Statement kFinishRun{"d_finish_run", R"sql(
UPDATE dunlin.run SET outcome = CASE WHEN undoes IS NULL THEN 'finished' ELSE 'undone' END,
  finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = $1::uuid AND (outcome IS NULL OR outcome = 'finished' OR (outcome = 'undone' AND undoes IS NOT NULL)))sql"};

}  // namespace dunlin::agent::sql
