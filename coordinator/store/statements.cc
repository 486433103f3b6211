#include "coordinator/store/statements.h"

namespace dunlin::coordinator::sql {

using S = pg::Statement;

const char* const kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const char* const kBeginReadOnly = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const S kStoreId{"s_store_id", "SELECT store_id FROM dunlin_store.meta"};
const S kNow{
    "s_now",
    "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"};

const S kFindRequest{
    "s_find_request",
    "SELECT fingerprint, encode(response, 'hex') FROM dunlin_store.request WHERE id = $1"};
const S kInsertRequest{"s_insert_request", R"sql(
INSERT INTO dunlin_store.request (id, fingerprint, response) VALUES ($1, $2, decode($3, 'hex')))sql"};
// Those that nobody has heard of for long and that hold nothing.
const S kPruneAgents{"s_prune_agents", R"sql(
DELETE FROM dunlin_store.agent a WHERE a.heartbeat_at < clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT 1 FROM dunlin_store.shard s WHERE s.agent = a.id AND s.lease_id IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM dunlin_store.task t WHERE t.agent = a.id AND t.lease_id IS NOT NULL))sql"};
const S kPruneRequests{"s_prune_requests", R"sql(
DELETE FROM dunlin_store.request WHERE id IN (
  SELECT q.id FROM dunlin_store.request q WHERE q.at < clock_timestamp() - interval '7 days' ORDER BY q.at LIMIT 20000))sql"};

// Whoever asked has long gone.
const S kPruneTargetTasks{"s_prune_target_tasks", R"sql(
DELETE FROM dunlin_store.target_task WHERE created_at < clock_timestamp() - interval '1 day')sql"};

#define DUNLIN_RUN_COLUMNS                                                                      \
  "id, migration, target, digest, encode(definition, 'hex'), parameters, operator_name, "       \
  "to_char(coalesce(started_at, created_at) AT TIME ZONE 'UTC', "                               \
  "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "                                                      \
  "state, reason, throttled_reason, error, revision, steps, step, planned_steps, "              \
  "planned_timeline, finalize_phase, "                                                          \
  "reconciles, task_epoch, preflight_passed, reconcile_due, pressure_seen, concurrency_limit, " \
  "concurrency_allowed, "                                                                       \
  "extract(epoch FROM clock_timestamp() - concurrency_at)::double precision, rows_per_second, " \
  "batch_time_ms, "                                                                             \
  "pause_ms, stop_after_rows, stop_after_base, rows_total, retries_asked, retries_done, "       \
  "rows_retried, kind, follows, note, paused_with_all"

const S kLockRun{"s_lock_run", "SELECT " DUNLIN_RUN_COLUMNS
                               " FROM dunlin_store.run WHERE id = $1::uuid FOR UPDATE"};
const S kTryLockRun{"s_try_lock_run",
                    "SELECT " DUNLIN_RUN_COLUMNS
                    " FROM dunlin_store.run WHERE id = $1::uuid FOR UPDATE SKIP LOCKED"};

const S kSaveRun{"s_save_run", R"sql(
UPDATE dunlin_store.run SET state_at = CASE WHEN state = $2 THEN state_at ELSE clock_timestamp() END, state = $2, reason = $3, throttled_reason = $4, error = $5, revision = $6::bigint,
  step = $7::int, planned_steps = $8::int, planned_timeline = $9::int, finalize_phase = $10::int,
  reconciles = $11::int, task_epoch = $12::bigint, preflight_passed = $13::boolean, reconcile_due = $14::boolean,
  pressure_seen = $15::boolean, concurrency_allowed = $16::int,
  concurrency_at = CASE WHEN $17::boolean THEN clock_timestamp() ELSE concurrency_at END,
  stop_after_rows = $18::bigint, stop_after_base = $19::bigint, rows_total = $20::bigint,
  retries_asked = $21::bigint, retries_done = $22::bigint, rows_retried = $23::bigint, paused_with_all = $24::boolean
WHERE id = $1::uuid)sql"};

const S kInsertRun{"s_insert_run", R"sql(
INSERT INTO dunlin_store.run (id, migration, target, digest, definition, parameters, state, operator_name, steps,
  concurrency_limit, rows_per_second, batch_time_ms, pause_ms, stop_after_rows, place, supersedes, not_before, critical,
  kind, follows, note)
VALUES ($1::uuid, $2, $3, $4, decode($5, 'hex'), $6::jsonb, 'PENDING', $7, $8::int, $9::int, $10::bigint,
  $11::bigint, $12::bigint, $13::bigint, $14, $15, to_timestamp($16::double precision), $17::boolean, $18,
  nullif($19, '')::uuid, $20))sql"};

const S kInsertEvent{"s_insert_event", R"sql(
INSERT INTO dunlin_store.event (run, revision, kind, actor, reason, peer, shard, old_value, new_value, audit)
VALUES ($1::uuid, $2::bigint, $3, $4, $5, $6, nullif($7, '')::uuid, $8, $9, $10::boolean))sql"};

const S kRunByIdText{"s_run_by_id_text",
                     "SELECT id FROM dunlin_store.run WHERE id::text = lower($1)"};
// The newest run on each target of a migration, told by its name or version; $2 = that target only.
// One that was replaced by an edited file only when there is no other.
const S kRunByName{"s_run_by_name", R"sql(
SELECT DISTINCT ON (migration, target) id, migration, target FROM dunlin_store.run
WHERE (migration = $1 OR split_part(migration, '_', 1) = $1) AND ($2 = '' OR target = $2)
ORDER BY migration, target, void, created_at DESC LIMIT 1000)sql"};
const S kNewestRunOfTarget{"s_newest_run_of_target", R"sql(
SELECT id, place FROM dunlin_store.run WHERE migration = $1 AND target = $2 AND NOT void
ORDER BY created_at DESC LIMIT 1)sql"};
const S kCurrentDatabase{"s_current_database", "SELECT current_database()"};
const S kKnownTargets{"s_known_targets", R"sql(
SELECT name FROM dunlin_store.target UNION SELECT unnest(targets) FROM dunlin_store.agent ORDER BY 1 LIMIT 10000)sql"};

const S kRunFacts{"s_run_facts", R"sql(
SELECT (SELECT count(*) FROM dunlin_store.shard s WHERE s.run = r.id AND s.step = $2::int AND NOT s.done),
       (SELECT count(*) FROM dunlin_store.shard s WHERE s.run = r.id AND s.lease_id IS NOT NULL)
         + (SELECT count(*) FROM dunlin_store.task t WHERE t.run = r.id AND t.lease_id IS NOT NULL),
       (SELECT count(*) FROM dunlin_store.task t WHERE t.run = r.id AND NOT t.done),
       (SELECT count(*) FROM dunlin_store.task t WHERE t.run = r.id AND t.kind = 'verify'),
       (SELECT coalesce(sum(t.found), 0)::bigint FROM dunlin_store.task t WHERE t.run = r.id AND t.kind = 'verify'),
       (SELECT count(*) FROM dunlin_store.quarantine q WHERE q.run = r.id AND q.state = 'quarantined'),
       (SELECT count(*) FROM dunlin_store.quarantine q WHERE q.run = r.id AND q.state = 'accepting'),
       (SELECT coalesce(sum(q.rows), 0)::bigint FROM dunlin_store.quarantine q WHERE q.run = r.id AND q.state = 'accepted')
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
const S kAgentsOfTarget{"s_agents_of_target", R"sql(
SELECT count(*) FROM dunlin_store.agent
WHERE $1 = ANY (targets) AND heartbeat_at > clock_timestamp() - interval '10 seconds')sql"};

// Whether it lacks an approval; who started it and what; when it may begin, if that is not yet.
const S kWaitFacts{"s_wait_facts", R"sql(
SELECT critical AND approved_by = '', operator_name, migration,
  CASE WHEN not_before > clock_timestamp()
       THEN to_char(not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') END
FROM dunlin_store.run WHERE id = $1::uuid)sql"};
// The newest run on a target of a migration, or of what stands in for it there.
const S kStandIn{"s_stand_in", R"sql(
WITH RECURSIVE chain(name, n) AS (
  SELECT $1::text, 0
  UNION ALL
  SELECT s.migration, c.n + 1 FROM chain c JOIN dunlin_store.run s
    ON s.supersedes = c.name AND s.target = $2 AND NOT s.void WHERE c.n < 100)
SELECT r.id, r.migration, r.state, r.kind, r.reconcile_due FROM chain c JOIN dunlin_store.run r
  ON r.migration = c.name AND r.target = $2 AND NOT r.void
ORDER BY c.n DESC, r.created_at DESC LIMIT 1)sql"};
// The first run of an earlier place on the same target that is not FINISHED, or of which a failover
// may have taken the end: the newest of its migration, and nothing stands in for it.
const S kEarlierUnfinished{"s_earlier_unfinished", R"sql(
SELECT e.migration, e.state, e.kind, e.reconcile_due
FROM dunlin_store.run r JOIN dunlin_store.run e ON e.target = r.target
WHERE r.id = $1::uuid AND (e.place, e.migration) < (r.place, r.migration)
  AND (e.state <> 'FINISHED' OR e.kind = 'undo' OR e.reconcile_due) AND NOT e.void
  AND e.migration <> r.migration
  AND NOT EXISTS (SELECT 1 FROM dunlin_store.run n WHERE n.migration = e.migration AND n.target = e.target
                    AND NOT n.void AND n.created_at > e.created_at)
  AND NOT EXISTS (SELECT 1 FROM dunlin_store.run s WHERE s.supersedes = e.migration AND s.target = e.target AND NOT s.void)
ORDER BY e.place, e.migration LIMIT 1)sql"};
const S kSupersededBy{"s_superseded_by", R"sql(
SELECT migration FROM dunlin_store.run WHERE supersedes = $1 AND target = $2 AND NOT void ORDER BY created_at DESC LIMIT 1)sql"};
const S kWhatReplaced{"s_what_replaced", R"sql(
SELECT r.void, (SELECT s.migration FROM dunlin_store.run s WHERE s.supersedes = r.migration AND s.target = r.target
                  AND NOT s.void ORDER BY s.created_at DESC LIMIT 1)
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
// The newest run of the same migration on the same target; whether it has committed a batch.
const S kNewestRunBeside{"s_newest_run_beside", R"sql(
SELECT n.id FROM dunlin_store.run r JOIN dunlin_store.run n ON n.migration = r.migration AND n.target = r.target AND NOT n.void
WHERE r.id = $1::uuid ORDER BY n.created_at DESC LIMIT 1)sql"};
// What a redo takes over from the former run.
const S kStartedWith{"s_started_with", R"sql(
SELECT place, supersedes FROM dunlin_store.run WHERE id = $1::uuid)sql"};
const S kApproval{"s_approval",
                  "SELECT critical, approved_by FROM dunlin_store.run WHERE id = $1::uuid"};
const S kApprove{"s_approve", "UPDATE dunlin_store.run SET approved_by = $2 WHERE id = $1::uuid"};
const S kRunsToPause{"s_runs_to_pause", R"sql(
SELECT id FROM dunlin_store.run WHERE state IN ('PENDING', 'PLANNING', 'RUNNING', 'FINALIZING') ORDER BY id)sql"};
const S kRunsPausedWithAll{"s_runs_paused_with_all", R"sql(
SELECT id FROM dunlin_store.run WHERE paused_with_all AND state IN ('PAUSING', 'PAUSED') ORDER BY id)sql"};
const S kTellLeft{"s_tell_left", R"sql(
UPDATE dunlin_store.run SET rows_left = $2::bigint, some_left = $3::text[] WHERE id = $1::uuid)sql"};
const S kUndoOf{"s_undo_of", R"sql(
SELECT rows_left, forgotten_at IS NOT NULL FROM dunlin_store.run WHERE id = $1::uuid)sql"};
const S kOpenUndoOf{"s_open_undo_of", R"sql(
SELECT id FROM dunlin_store.run WHERE follows = $1::uuid AND kind = 'undo' AND state <> 'FINISHED' AND NOT void)sql"};
const S kMarkForgotten{"s_mark_forgotten", R"sql(
UPDATE dunlin_store.run SET forgotten_at = clock_timestamp() WHERE id = $1::uuid AND forgotten_at IS NULL)sql"};
const S kBeginAdoption{"s_begin_adoption", R"sql(
INSERT INTO dunlin_store.adoption (target, operator_name, reason, peer) VALUES ($1, $2, $3, $4)
ON CONFLICT (target) DO UPDATE SET operator_name = $2, reason = $3, peer = $4, asked_at = clock_timestamp(),
  former_store_id = '', former_store_name = '', pending = '{}', runs_learned = 0, error = '', done_at = NULL)sql"};
const S kLockAdoption{"s_lock_adoption", R"sql(
SELECT operator_name, reason, peer, former_store_name, pending::text[] FROM dunlin_store.adoption WHERE target = $1
FOR UPDATE)sql"};
const S kSetFormerStore{"s_set_former_store", R"sql(
UPDATE dunlin_store.adoption SET former_store_id = $2, former_store_name = $3 WHERE target = $1)sql"};
const S kSetPending{
    "s_set_pending",
    "UPDATE dunlin_store.adoption SET pending = $2::text[]::uuid[] WHERE target = $1"};
const S kCountLearned{
    "s_count_learned",
    "UPDATE dunlin_store.adoption SET runs_learned = runs_learned + $2::bigint WHERE target = $1"};
const S kEndAdoption{"s_end_adoption", R"sql(
UPDATE dunlin_store.adoption SET error = $2, done_at = clock_timestamp() WHERE target = $1)sql"};
const S kReadAdoption{"s_read_adoption", R"sql(
SELECT operator_name, reason, former_store_id, former_store_name, runs_learned, error, done_at IS NOT NULL
FROM dunlin_store.adoption WHERE target = $1)sql"};
const S kAllRunsOfTarget{"s_all_runs_of_target",
                         "SELECT id, void FROM dunlin_store.run WHERE target = $1 ORDER BY id"};
// What it supersedes gives it its place, known here or not.
const S kInsertAdoptedRun{"s_insert_adopted_run", R"sql(
INSERT INTO dunlin_store.run (id, migration, target, digest, definition, parameters, state, operator_name, steps,
  concurrency_limit, rows_per_second, batch_time_ms, pause_ms, place, supersedes, critical, kind, follows, note,
  created_at, started_at, finished_at, task_epoch, rows_left, forgotten_at, rows_total, reconcile_due, changed_before)
VALUES ($1::uuid, $2, $3, $4, decode($5, 'hex'), $6::jsonb, $7, $8, $9::int, $10::int, $11::bigint, $12::bigint,
  $13::bigint,
  coalesce((SELECT o.place FROM dunlin_store.run o WHERE o.migration = $14 AND o.target = $3 LIMIT 1),
           split_part(CASE WHEN $14 = '' THEN $2 ELSE $14 END, '_', 1)),
  $14, $15::boolean, $16, (SELECT f.id FROM dunlin_store.run f WHERE f.id::text = $17), $18,
  $19::timestamptz, $19::timestamptz,
  CASE WHEN $7 <> 'PAUSED' THEN clock_timestamp() - $20::double precision * interval '1 second' END,
  $21::bigint, $22::bigint, CASE WHEN $23::boolean THEN clock_timestamp() END, $24::bigint, $7 = 'PAUSED',
  $25::boolean)
ON CONFLICT DO NOTHING RETURNING id)sql"};
const S kMarkVoid{"s_mark_void", "UPDATE dunlin_store.run SET void = true WHERE id = $1::uuid"};
const S kMarkConfirmed{"s_mark_confirmed", R"sql(
UPDATE dunlin_store.run SET confirmed = CASE kind WHEN 'baseline' THEN 'baseline' WHEN 'undo' THEN 'undone' ELSE 'finished' END, confirmed_at = clock_timestamp(),
  confirmed_finish_at = coalesce(finished_at, clock_timestamp()) WHERE id = $1::uuid)sql"};

const S kInsertTask{"s_insert_task", R"sql(
INSERT INTO dunlin_store.task (run, kind, step, finish, retry)
VALUES ($1::uuid, $2, $3::int, $4::boolean, $5::bigint))sql"};
const S kInsertVerifyTask{"s_insert_verify_task", R"sql(
INSERT INTO dunlin_store.task (run, kind, step, shard) VALUES ($1::uuid, 'verify', $2::int, nullif($3, '')::uuid))sql"};
const S kDropOpenTasks{
    "s_drop_open_tasks",
    "DELETE FROM dunlin_store.task WHERE run = $1::uuid AND NOT done AND lease_id IS NULL"};
const S kDropVerifyTasks{"s_drop_verify_tasks",
                         "DELETE FROM dunlin_store.task WHERE run = $1::uuid AND kind = 'verify'"};
const S kShardsOfStep{"s_shards_of_step", R"sql(
SELECT id FROM dunlin_store.shard WHERE run = $1::uuid AND step = $2::int AND relation <> '')sql"};

const S kRowsDone{
    "s_rows_done",
    "SELECT coalesce(sum(rows_done), 0)::bigint FROM dunlin_store.shard WHERE run = $1::uuid"};
// Whether rows were changed, or may have been without a report of it. A batch that only set a row
// aside changed nothing.
const S kAnyBatchCommitted{"s_any_batch_committed", R"sql(
SELECT EXISTS (SELECT 1 FROM dunlin_store.shard s WHERE s.run = r.id AND (s.unreported OR s.seq > (
  SELECT count(*) FROM dunlin_store.quarantine q WHERE q.shard = s.id))) OR r.changed_before
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
const S kLockName{"s_lock_name",
                  "SELECT pg_advisory_xact_lock(hashtextextended($1, 7305809122113403))"};
const S kForgiveShards{"s_forgive_shards", R"sql(
UPDATE dunlin_store.shard SET not_before = '-infinity', troubles = 0, waiting = '' WHERE run = $1::uuid AND not_before > '-infinity')sql"};
const S kMarkStarted{"s_mark_started", R"sql(
UPDATE dunlin_store.run SET started_at = coalesce(started_at, clock_timestamp()) WHERE id = $1::uuid)sql"};
const S kMarkWorking{"s_mark_working", R"sql(
UPDATE dunlin_store.run SET started_at = coalesce(started_at, clock_timestamp()), working_since = clock_timestamp(),
  rate = 0, rate_at = NULL, concurrency_at = clock_timestamp(),
  session_rows = (SELECT coalesce(sum(s.rows_done), 0)::bigint FROM dunlin_store.shard s WHERE s.run = $1::uuid)
WHERE id = $1::uuid)sql"};
const S kMarkFinished{"s_mark_finished", R"sql(
UPDATE dunlin_store.run SET finished_at = clock_timestamp(), rate = 0 WHERE id = $1::uuid)sql"};

#define DUNLIN_TIME(column) "extract(epoch FROM " column ")::double precision"
// clang-format off (it never settles on macros of this length)
#define DUNLIN_READ_RUN \
  "SELECT r.id, r.migration, r.target, r.state, r.reason, r.throttled_reason, " \
  "coalesce(s.rows_done, 0), r.rows_total, " \
  "coalesce(s.rows_changed, 0) + r.rows_retried, r.rate, s.total, s.done, s.leased, r.error, r.revision, " DUNLIN_TIME("r.created_at")   \
  ", " DUNLIN_TIME("r.started_at") ", " DUNLIN_TIME("r.finished_at")                                                    \
  ", r.digest, r.operator_name, r.concurrency_limit, r.rows_per_second, r.batch_time_ms, r.pause_ms, "                   \
  "r.concurrency_allowed, r.step, r.steps, r.stop_after_rows, r.parameters, coalesce(s.batches, 0), "                    \
  "coalesce(" DUNLIN_TIME("clock_timestamp() - r.working_since") ", 0), encode(r.definition, 'hex'), "                   \
  "coalesce(q.rows, 0), coalesce(q.accepted, 0), "                                                                       \
  "coalesce((SELECT n.migration FROM dunlin_store.run n WHERE n.supersedes = r.migration AND n.target = r.target "       \
  "AND NOT n.void ORDER BY n.created_at DESC LIMIT 1), ''), " DUNLIN_TIME("r.not_before") ", r.critical, r.approved_by, " \
  "r.kind, coalesce(r.follows::text, ''), coalesce((SELECT n.id::text FROM dunlin_store.run n WHERE n.migration = r.migration " \
  "AND n.target = r.target AND NOT n.void AND n.created_at > r.created_at ORDER BY n.created_at DESC LIMIT 1), ''), r.rows_left, r.some_left, " DUNLIN_TIME("r.forgotten_at") ", " DUNLIN_TIME("r.state_at") " " \
  "FROM dunlin_store.run r CROSS JOIN LATERAL (SELECT sum(s.rows_done)::bigint AS rows_done, "                           \
  "sum(s.rows_changed)::bigint AS rows_changed, count(*) AS total, count(*) FILTER (WHERE s.done) AS done, "             \
  "count(*) FILTER (WHERE s.lease_id IS NOT NULL AND NOT s.done) AS leased, sum(s.seq)::bigint AS batches "              \
  "FROM dunlin_store.shard s WHERE s.run = r.id) s "                                                                     \
  "CROSS JOIN LATERAL (SELECT sum(q.rows)::bigint AS rows, "                                                             \
  "sum(q.rows) FILTER (WHERE q.state = 'accepted')::bigint AS accepted "                                                 \
  "FROM dunlin_store.quarantine q WHERE q.run = r.id) q "

// clang-format on
const S kReadRun{"s_read_run", DUNLIN_READ_RUN "WHERE r.id = $1::uuid"};
const S kListRuns{
    "s_list_runs", DUNLIN_READ_RUN
    "WHERE (NOT $1::boolean OR r.state NOT IN ('FINISHED', 'CANCELLED', 'FAILED') "
    // And what failed, if nothing stands in its place.
    "OR ($4::boolean AND r.state = 'FAILED' AND NOT r.void "
    "AND NOT EXISTS (SELECT 1 FROM dunlin_store.run n WHERE n.migration = r.migration "
    "AND n.target = r.target AND NOT n.void AND n.created_at > r.created_at) "
    "AND NOT EXISTS (SELECT 1 FROM dunlin_store.run n WHERE n.supersedes = r.migration "
    "AND n.target = r.target AND NOT n.void))) "
    "AND ($2 = '' OR (r.created_at, r.id) < (SELECT c.created_at, c.id FROM dunlin_store.run c "
    "WHERE c.id::text = $2)) ORDER BY r.created_at DESC, r.id DESC LIMIT $3::int"};

#define DUNLIN_READ_SHARD                                                                          \
  "SELECT s.id, s.run, s.step, s.relation, s.lower, s.upper, s.cursor, s.done, s.lease_id IS NOT " \
  "NULL, s.epoch, s.seq, "                                                                         \
  "s.rows_done, s.rows_changed, s.rows_total, coalesce(a.name, ''), s.waiting, s.revision "        \
  "FROM dunlin_store.shard s LEFT JOIN dunlin_store.agent a ON a.id = s.agent AND s.lease_id IS "  \
  "NOT NULL "
const S kReadShards{
    "s_read_shards", DUNLIN_READ_SHARD
    "WHERE s.run = $1::uuid AND s.revision > $2::bigint AND s.revision <= $4::bigint "
    "ORDER BY s.revision LIMIT $3::int"};
const S kListShards{
    "s_list_shards", DUNLIN_READ_SHARD
    "WHERE s.run = $1::uuid AND ($2 = '' OR s.id::text > $2) ORDER BY s.id LIMIT $3::int"};
const S kListEvents{"s_list_events", R"sql(
SELECT revision, extract(epoch FROM at)::double precision, kind, actor, reason, peer, coalesce(shard::text, ''),
  old_value, new_value
FROM dunlin_store.event
WHERE run = $1::uuid AND revision > $2::bigint AND (NOT $3::boolean OR audit) ORDER BY revision LIMIT $4::int)sql"};
const S kListAgents{"s_list_agents", R"sql(
SELECT a.id, a.name, a.version, a.targets, a.slots,
  (SELECT count(*) FROM dunlin_store.shard s WHERE s.agent = a.id AND s.lease_id IS NOT NULL)
    + (SELECT count(*) FROM dunlin_store.task t WHERE t.agent = a.id AND t.lease_id IS NOT NULL),
  extract(epoch FROM a.registered_at)::double precision, extract(epoch FROM a.heartbeat_at)::double precision,
  a.heartbeat_at > clock_timestamp() - $2::double precision * interval '1 second'
FROM dunlin_store.agent a
WHERE a.heartbeat_at > clock_timestamp() - interval '1 hour'
  AND ($1 = '' OR (a.registered_at, a.id) < (SELECT c.registered_at, c.id FROM dunlin_store.agent c WHERE c.id::text = $1))
ORDER BY a.registered_at DESC, a.id DESC LIMIT $3::int)sql"};
const S kRevisions{"s_revisions",
                   "SELECT id, revision FROM dunlin_store.run WHERE id::text = ANY ($1::text[])"};
const S kOldestRevision{
    "s_oldest_revision",
    "SELECT oldest_revision, revision FROM dunlin_store.run WHERE id = $1::uuid"};

const S kInsertAgent{"s_insert_agent", R"sql(
INSERT INTO dunlin_store.agent (name, version, targets, slots) VALUES ($1, $2, $3::text[], $4::int) RETURNING id)sql"};
const S kKnownAgent{"s_known_agent", "SELECT 1 FROM dunlin_store.agent WHERE id::text = $1"};
const S kTouchAgent{
    "s_touch_agent",
    "UPDATE dunlin_store.agent SET heartbeat_at = clock_timestamp() WHERE id::text = $1"};
const S kHungryAgent{"s_hungry_agent", R"sql(
UPDATE dunlin_store.agent SET hungry_at = CASE WHEN $2::boolean THEN clock_timestamp() END,
  heartbeat_at = clock_timestamp() WHERE id::text = $1)sql"};
const S kPeekTarget{"s_peek_target", R"sql(
SELECT system_identifier, timeline FROM dunlin_store.target WHERE name = $1)sql"};
const S kAddTarget{"s_add_target",
                   "INSERT INTO dunlin_store.target (name) VALUES ($1) ON CONFLICT DO NOTHING"};
const S kLockTarget{"s_lock_target", R"sql(
SELECT system_identifier, timeline FROM dunlin_store.target WHERE name = $1 FOR UPDATE)sql"};
const S kUpsertTarget{"s_upsert_target", R"sql(
INSERT INTO dunlin_store.target (name, system_identifier, timeline) VALUES ($1, $2, $3::int)
ON CONFLICT (name) DO UPDATE SET system_identifier = excluded.system_identifier, timeline = excluded.timeline,
  seen_at = clock_timestamp())sql"};
const S kSignal{"s_signal", R"sql(
UPDATE dunlin_store.target SET foreign_transactions = $2::int WHERE name = $1 AND foreign_transactions <> $2::int)sql"};

const S kRunsOfAcquire{"s_runs_of_acquire", R"sql(
SELECT run FROM dunlin_store.shard WHERE agent = $1::uuid AND acquire_id = $2 AND lease_id IS NOT NULL UNION
SELECT run FROM dunlin_store.task WHERE agent = $1::uuid AND acquire_id = $2 AND lease_id IS NOT NULL ORDER BY 1)sql"};
const S kLeasesOfAcquire{"s_leases_of_acquire", R"sql(
SELECT s.lease_id, s.run, s.id, s.step, s.relation, s.lower, s.upper, s.epoch, s.rows_total,
  extract(epoch FROM s.expires_at - clock_timestamp())::double precision
FROM dunlin_store.shard s
WHERE s.agent = $1::uuid AND s.acquire_id = $2 AND s.lease_id IS NOT NULL AND s.expires_at > clock_timestamp())sql"};
const S kTaskLeasesOfAcquire{"s_task_leases_of_acquire", R"sql(
SELECT t.lease_id, t.run, t.id, t.kind, t.step, t.task_epoch, t.finish,
  (SELECT count(*) FROM dunlin_store.shard s WHERE s.run = t.run),
  extract(epoch FROM t.expires_at - clock_timestamp())::double precision,
  s.id, s.relation, s.lower, s.upper, s.epoch, s.rows_total, t.retry
FROM dunlin_store.task t LEFT JOIN dunlin_store.shard s ON s.id = t.shard
WHERE t.agent = $1::uuid AND t.acquire_id = $2 AND t.lease_id IS NOT NULL AND t.expires_at > clock_timestamp())sql"};
const S kCandidateRuns{"s_candidate_runs", R"sql(
SELECT r.id FROM dunlin_store.run r
WHERE r.target = ANY ($1::text[])
  AND (r.state IN ('PENDING', 'PLANNING', 'RUNNING', 'FINALIZING') OR (r.state = 'FINISHED' AND r.reconcile_due))
  AND (EXISTS (SELECT 1 FROM dunlin_store.task t
               WHERE t.run = r.id AND NOT t.done AND t.lease_id IS NULL AND t.not_before <= clock_timestamp())
       OR (r.state = 'RUNNING' AND NOT r.reconcile_due AND EXISTS (
             SELECT 1 FROM dunlin_store.shard s
             WHERE s.run = r.id AND s.step = r.step AND NOT s.done AND s.lease_id IS NULL
               AND s.not_before <= clock_timestamp())))
ORDER BY r.id LIMIT 100)sql"};
// The largest first, so that the end is even; equal ones in key order, which reads the heap and the
// index as they lie.
const S kGrantShards{"s_grant_shards", R"sql(
UPDATE dunlin_store.shard s SET epoch = s.epoch + 1, lease_id = gen_random_uuid(), agent = $3::uuid, acquire_id = $4,
  granted_at = clock_timestamp(), expires_at = clock_timestamp() + $5::double precision * interval '1 second',
  waiting = '', split_at = NULL, revision = $7::bigint
WHERE s.id IN (SELECT c.id FROM dunlin_store.shard c
               WHERE c.run = $1::uuid AND c.step = $2::int AND NOT c.done AND c.lease_id IS NULL
                 AND c.not_before <= clock_timestamp()
               ORDER BY c.rows_total - c.rows_done DESC, c.place LIMIT $6::int)
RETURNING s.id, s.epoch)sql"};
const S kGrantTask{"s_grant_task", R"sql(
UPDATE dunlin_store.task t SET lease_id = gen_random_uuid(), agent = $2::uuid, acquire_id = $3, task_epoch = $5::bigint,
  granted_at = clock_timestamp(), expires_at = clock_timestamp() + $4::double precision * interval '1 second', waiting = ''
WHERE t.id = (SELECT c.id FROM dunlin_store.task c
              WHERE c.run = $1::uuid AND NOT c.done AND c.lease_id IS NULL AND c.not_before <= clock_timestamp()
              ORDER BY c.id LIMIT 1)
RETURNING t.kind)sql"};
// The youngest leases beyond the $3 that may be in work.
const S kLeasesTooMany{"s_leases_too_many", R"sql(
SELECT lease_id FROM dunlin_store.shard WHERE run = $1::uuid AND step = $2::int AND lease_id IS NOT NULL
ORDER BY granted_at, id OFFSET $3::int)sql"};
const S kLeasesInWork{"s_leases_in_work", R"sql(
SELECT count(*) FILTER (WHERE lease_id IS NOT NULL), count(*) FILTER (WHERE NOT done),
  (SELECT p.batch_ms FROM dunlin_store.pace p WHERE p.run = $1::uuid),
  (SELECT p.duty FROM dunlin_store.pace p WHERE p.run = $1::uuid),
  coalesce((SELECT t.ratio FROM dunlin_store.throttle t WHERE t.run = $1::uuid), 1),
  (SELECT r.wal_rows_per_second FROM dunlin_store.run r WHERE r.id = $1::uuid)
FROM dunlin_store.shard WHERE run = $1::uuid AND step = $2::int)sql"};

const S kRunsOfLeases{"s_runs_of_leases", R"sql(
SELECT run FROM dunlin_store.shard WHERE lease_id::text = ANY ($1::text[])
UNION SELECT run FROM dunlin_store.task WHERE lease_id::text = ANY ($1::text[])
UNION SELECT run FROM dunlin_store.shard WHERE agent::text = $2 AND lease_id IS NOT NULL
UNION SELECT run FROM dunlin_store.task WHERE agent::text = $2 AND lease_id IS NOT NULL
ORDER BY 1)sql"};
const S kCheckpoint{"s_checkpoint", R"sql(
UPDATE dunlin_store.shard SET cursor = CASE WHEN $3::bigint > seq THEN $2::text[] ELSE cursor END,
  rows_done = CASE WHEN $3::bigint > seq THEN $4::bigint ELSE rows_done END,
  rows_changed = CASE WHEN $3::bigint > seq THEN $5::bigint ELSE rows_changed END,
  seq = greatest(seq, $3::bigint), rows_left = $6::bigint, waiting = $7, revision = $8::bigint,
  troubles = CASE WHEN $3::bigint > seq THEN 0 ELSE troubles END
WHERE lease_id::text = $1 AND (seq < $3::bigint OR waiting <> $7))sql"};
const S kShardsOfLeases{"s_shards_of_leases", R"sql(
SELECT lease_id, run, seq, waiting, split_at IS NOT NULL, id FROM dunlin_store.shard
WHERE lease_id::text = ANY ($1::text[]) AND agent::text = $2 AND expires_at > clock_timestamp())sql"};
const S kTasksOfLeases{"s_tasks_of_leases", R"sql(
SELECT lease_id, run, waiting, kind FROM dunlin_store.task
WHERE lease_id::text = ANY ($1::text[]) AND agent::text = $2 AND expires_at > clock_timestamp())sql"};
const S kTaskWaiting{"s_task_waiting",
                     "UPDATE dunlin_store.task SET waiting = $2 WHERE lease_id::text = $1"};
// A lease that has expired is not revived: another agent may have been told that it may have the
// shard.
const S kRenewShards{"s_renew_shards", R"sql(
UPDATE dunlin_store.shard SET expires_at = greatest(expires_at, clock_timestamp() + $2::double precision * interval '1 second')
WHERE lease_id::text = ANY ($1::text[]) AND expires_at > clock_timestamp() RETURNING lease_id)sql"};
const S kRenewTasks{"s_renew_tasks", R"sql(
UPDATE dunlin_store.task SET expires_at = greatest(expires_at, clock_timestamp() + $2::double precision * interval '1 second')
WHERE lease_id::text = ANY ($1::text[]) AND expires_at > clock_timestamp() RETURNING lease_id)sql"};
const S kUnlistedLeases{"s_unlisted_leases", R"sql(
SELECT lease_id, run FROM dunlin_store.shard
WHERE agent::text = $1 AND lease_id IS NOT NULL AND lease_id::text <> ALL ($2::text[])
  AND acquire_id <> ALL ($3::text[]) AND granted_at < clock_timestamp() - $4::double precision * interval '1 second'
UNION ALL
SELECT lease_id, run FROM dunlin_store.task
WHERE agent::text = $1 AND lease_id IS NOT NULL AND lease_id::text <> ALL ($2::text[])
  AND acquire_id <> ALL ($3::text[]) AND granted_at < clock_timestamp() - $4::double precision * interval '1 second')sql"};
const S kRunsLive{"s_runs_live", R"sql(
SELECT EXISTS (SELECT 1 FROM dunlin_store.run r JOIN dunlin_store.agent a ON r.target = ANY (a.targets)
WHERE a.id::text = $1 AND (r.state NOT IN ('FINISHED', 'CANCELLED', 'FAILED', 'PAUSED')
  OR (r.state = 'FINISHED' AND r.reconcile_due))))sql"};
// The largest first; with how many were asked for of late and are not told yet.
const S kSplitCandidates{"s_split_candidates", R"sql(
SELECT s.lease_id, s.rows_left, s.under_way FROM (
  SELECT lease_id, rows_left, asked, seq, count(*) FILTER (WHERE asked) OVER () AS under_way FROM (
    SELECT lease_id, rows_left, seq, coalesce(split_at > clock_timestamp() - interval '5 seconds', false) AS asked
    FROM dunlin_store.shard
    WHERE run = $1::uuid AND step = $2::int AND lease_id IS NOT NULL AND NOT done) leased) s
WHERE NOT s.asked AND s.seq > 0 ORDER BY s.rows_left DESC LIMIT 64)sql"};
const S kMarkSplit{
    "s_mark_split",
    "UPDATE dunlin_store.shard SET split_at = clock_timestamp() WHERE lease_id::text = $1"};
const S kHungryAgents{"s_hungry_agents", R"sql(
SELECT count(*) FROM dunlin_store.agent WHERE $1 = ANY (targets) AND hungry_at > clock_timestamp() - interval '2 seconds')sql"};

const S kRunsOfName{"s_runs_of_name", R"sql(
SELECT DISTINCT ON (r.target) r.target, r.migration, encode(r.definition, 'hex') FROM dunlin_store.run r
WHERE (r.migration = $1 OR split_part(r.migration, '_', 1) = $1) AND NOT r.void
ORDER BY r.target, r.created_at DESC LIMIT 1000)sql"};
// What a gate is decided by, beside the run as operators see it. Times as seconds, by this clock.
const S kGateFacts{"s_gate_facts", R"sql(
SELECT r.confirmed, extract(epoch FROM r.confirmed_at)::double precision,
  extract(epoch FROM coalesce(r.confirmed_finish_at, r.finished_at))::double precision,
  extract(epoch FROM clock_timestamp())::double precision,
  EXISTS (SELECT 1 FROM dunlin_store.agent a WHERE r.target = ANY (a.targets)
            AND a.heartbeat_at > clock_timestamp() - interval '10 seconds'),
  encode(r.definition, 'hex'), r.reconcile_due
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
// Only where the store lies in the target's own database.
const S kLocalLedger{"s_local_ledger", "SELECT to_regclass('dunlin.run') IS NOT NULL"};
const S kLocalOutcome{"s_local_outcome", R"sql(
SELECT coalesce(outcome, 'open'), extract(epoch FROM finished_at)::double precision
FROM dunlin.run WHERE id = $1::uuid)sql"};
const S kAskTarget{"s_ask_target", R"sql(
INSERT INTO dunlin_store.target_task (id, target, kind, request)
SELECT $1::uuid, $2, $3, decode($4, 'hex')
WHERE NOT EXISTS (SELECT 1 FROM dunlin_store.target_task t WHERE t.target = $2 AND t.kind = $3 AND t.answer IS NULL
                    AND t.created_at > clock_timestamp() - interval '30 seconds'))sql"};
const S kAskTargetAnew{"s_ask_target_anew", R"sql(
INSERT INTO dunlin_store.target_task (id, target, kind, request) VALUES ($1::uuid, $2, $3, decode($4, 'hex')))sql"};
const S kGrantTargetTasks{"s_grant_target_tasks", R"sql(
UPDATE dunlin_store.target_task t SET agent = $1::uuid, expires_at = clock_timestamp() + interval '10 seconds'
WHERE t.id IN (SELECT c.id FROM dunlin_store.target_task c
               WHERE c.answer IS NULL AND c.target = ANY ($2::text[]) AND c.expires_at < clock_timestamp()
                 AND c.created_at > clock_timestamp() - interval '1 hour'
               ORDER BY c.created_at LIMIT 8 FOR UPDATE SKIP LOCKED)
RETURNING t.id, t.target, encode(t.request, 'hex'))sql"};
const S kTargetTask{"s_target_task", R"sql(
SELECT target, kind, encode(request, 'hex'), answer IS NOT NULL, encode(answer, 'hex')
FROM dunlin_store.target_task WHERE id::text = $1 FOR UPDATE)sql"};
const S kAnswerTargetTask{"s_answer_target_task", R"sql(
UPDATE dunlin_store.target_task SET answer = decode($2, 'hex') WHERE id::text = $1)sql"};
// $2, $3, $4: id, outcome and seconds since the finish of what the ledger has. $5: there is more
// than that.
const S kConfirmRuns{"s_confirm_runs", R"sql(
UPDATE dunlin_store.run r SET confirmed = c.outcome, confirmed_at = clock_timestamp(),
  confirmed_finish_at = coalesce(clock_timestamp() - c.age * interval '1 second', r.confirmed_finish_at)
FROM (SELECT f.id, coalesce(l.outcome, 'missing') AS outcome, l.age
      FROM dunlin_store.run f
      LEFT JOIN unnest($2::uuid[], $3::text[], $4::double precision[]) AS l(id, outcome, age) ON l.id = f.id
      WHERE f.target = $1 AND f.state = 'FINISHED' AND (l.id IS NOT NULL OR NOT $5::boolean)
      ORDER BY f.id FOR UPDATE OF f) c
WHERE r.id = c.id)sql"};

const S kShardByLease{"s_shard_by_lease", R"sql(
SELECT id, run, step, lower, upper, epoch, seq, done, expires_at > clock_timestamp() FROM dunlin_store.shard
WHERE lease_id::text = $1)sql"};
const S kTaskByLease{"s_task_by_lease", R"sql(
SELECT id, run, kind, step, task_epoch, finish, shard, retry, extract(epoch FROM granted_at)::double precision
FROM dunlin_store.task WHERE lease_id::text = $1)sql"};
const S kCompleteShard{"s_complete_shard", R"sql(
UPDATE dunlin_store.shard SET done = true, cursor = upper, seq = $2::bigint, rows_done = $3::bigint,
  rows_changed = $4::bigint, rows_left = 0, lease_id = NULL, waiting = '', revision = $5::bigint
WHERE lease_id::text = $1)sql"};
const S kReleaseShard{"s_release_shard", R"sql(
UPDATE dunlin_store.shard SET lease_id = NULL, waiting = $5, revision = $2::bigint, troubles = $4::int,
  not_before = clock_timestamp() + $3::double precision * interval '1 second'
WHERE lease_id::text = $1 RETURNING id)sql"};
const S kReleaseTask{"s_release_task", R"sql(
UPDATE dunlin_store.task SET lease_id = NULL, waiting = $3, troubles = troubles + 1,
  not_before = clock_timestamp() + $2::double precision * interval '1 second'
WHERE lease_id::text = $1)sql"};
const S kRaiseEpoch{
    "s_raise_epoch",
    "UPDATE dunlin_store.shard SET epoch = greatest(epoch, $2::bigint) WHERE id::text = $1"};
const S kMoveUpper{"s_move_upper", R"sql(
UPDATE dunlin_store.shard SET upper = $2::text[], rows_total = $3::bigint, rows_left = $3::bigint - rows_done,
  split_at = NULL, revision = $4::bigint
WHERE id = $1::uuid)sql"};
const S kInsertShard{"s_insert_shard", R"sql(
INSERT INTO dunlin_store.shard (id, run, step, relation, lower, upper, cursor, epoch, seq, rows_done, rows_changed,
  rows_total, rows_left, done, revision)
VALUES ($1::uuid, $2::uuid, $3::int, $4, $5::text[], $6::text[], $7::text[], $8::bigint, $9::bigint, $10::bigint,
  $11::bigint, $12::bigint, $12::bigint - $10::bigint, $13::boolean, $14::bigint)
ON CONFLICT (id) DO NOTHING)sql"};
const S kDropShardsOfStep{
    "s_drop_shards_of_step",
    "DELETE FROM dunlin_store.shard WHERE run = $1::uuid AND ($2::int < 0 OR step = $2::int)"};
const S kInsertChild{"s_insert_child", R"sql(
INSERT INTO dunlin_store.shard (id, run, step, relation, lower, upper, rows_total, rows_left, revision)
SELECT $2::uuid, p.run, p.step, p.relation, p.upper, $3::text[], $4::bigint, $4::bigint, $5::bigint
FROM dunlin_store.shard p WHERE p.id = $1::uuid)sql"};
const S kTroublesOfShard{"s_troubles_of_shard",
                         "SELECT troubles FROM dunlin_store.shard WHERE id = $1::uuid"};
const S kTroublesOfTask{"s_troubles_of_task",
                        "SELECT troubles FROM dunlin_store.task WHERE lease_id::text = $1"};
const S kDropTaskOfLease{"s_drop_task_of_lease",
                         "DELETE FROM dunlin_store.task WHERE lease_id::text = $1"};
const S kTaskDone{"s_task_done", R"sql(
UPDATE dunlin_store.task SET done = true, lease_id = NULL, found = $2::bigint, waiting = '' WHERE lease_id::text = $1)sql"};
const S kDropShard{"s_drop_shard", R"sql(
DELETE FROM dunlin_store.shard WHERE run = $1::uuid AND id::text <> ALL ($2::text[]))sql"};
const S kReconcileShard{"s_reconcile_shard", R"sql(
INSERT INTO dunlin_store.shard AS s (id, run, step, relation, lower, upper, cursor, epoch, seq, rows_done, rows_changed,
  rows_total, rows_left, done, revision)
VALUES ($1::uuid, $2::uuid, $3::int, $4, $5::text[], $6::text[], $7::text[], $8::bigint, $9::bigint, $10::bigint,
  $11::bigint, $12::bigint, $12::bigint - $10::bigint, $13::boolean, $14::bigint)
ON CONFLICT (id) DO UPDATE SET step = excluded.step, relation = excluded.relation, lower = excluded.lower, upper = excluded.upper, cursor = excluded.cursor,
  epoch = greatest(s.epoch, excluded.epoch), seq = excluded.seq, rows_done = excluded.rows_done,
  rows_changed = excluded.rows_changed, rows_total = excluded.rows_total, done = excluded.done, revision = excluded.revision,
  split_at = NULL,
  lease_id = CASE WHEN s.lower IS NOT DISTINCT FROM excluded.lower AND s.upper IS NOT DISTINCT FROM excluded.upper
                    AND NOT excluded.done AND s.epoch >= excluded.epoch THEN s.lease_id END)sql"};

const S kAddQuarantined{"s_add_quarantined", R"sql(
INSERT INTO dunlin_store.quarantine (id, run, shard, step, relation, key_columns, key, rows, sqlstate, constraint_name,
  table_name, tries, state, accepted_by, accepted_reason, failed_at, tried_at)
VALUES ($1::uuid, $2::uuid, $3::uuid, $4::int, $5, $6::text[], $7::text[], $8::bigint, $9, $10, $11, $12::int, $13, $14, $15,
  to_timestamp($16::double precision), to_timestamp($17::double precision))
ON CONFLICT (id) DO NOTHING)sql"};
// A row that was asked to be accepted stays so until the ledger says it; and is accepted again when
// the ledger has lost it (I6).
const S kUpdateQuarantined{"s_update_quarantined", R"sql(
UPDATE dunlin_store.quarantine SET sqlstate = $2, constraint_name = $3, table_name = $4, tries = $5::int,
  tried_at = to_timestamp($6::double precision),
  state = CASE WHEN $7 = 'accepted' THEN 'accepted' WHEN state IN ('accepting', 'accepted') THEN 'accepting'
               ELSE 'quarantined' END,
  accepted_by = CASE WHEN $7 = 'accepted' THEN $8 ELSE accepted_by END,
  accepted_reason = CASE WHEN $7 = 'accepted' THEN $9 ELSE accepted_reason END
WHERE id = $1::uuid)sql"};
// What the ledger did not have when a task read it; rows that were reported since are not meant.
const S kDropQuarantined{"s_drop_quarantined", R"sql(
DELETE FROM dunlin_store.quarantine WHERE run = $1::uuid AND id <> ALL ($2::uuid[])
  AND reported_at < to_timestamp($3::double precision))sql"};
const S kDropQuarantineOfRun{"s_drop_quarantine_of_run",
                             "DELETE FROM dunlin_store.quarantine WHERE run = $1::uuid"};
const S kMarkAccepting{"s_mark_accepting", R"sql(
UPDATE dunlin_store.quarantine SET state = 'accepting', accepted_by = $2, accepted_reason = $3
WHERE run = $1::uuid AND state = 'quarantined')sql"};
const S kAccepting{"s_accepting", R"sql(
SELECT id, accepted_by, accepted_reason FROM dunlin_store.quarantine
WHERE run = $1::uuid AND state = 'accepting' ORDER BY place)sql"};
const S kQuarantineFacts{"s_quarantine_facts", R"sql(
SELECT (SELECT coalesce(sum(q.rows), 0)::bigint FROM dunlin_store.quarantine q
        WHERE q.run = r.id AND q.state = 'quarantined'),
       (SELECT coalesce(sum(q.rows), 0)::bigint FROM dunlin_store.quarantine q
        WHERE q.run = r.id AND q.reported_at >= r.working_since),
       (SELECT coalesce(sum(s.rows_done), 0)::bigint FROM dunlin_store.shard s WHERE s.run = r.id) - r.session_rows
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
const S kQuarantineReasons{"s_quarantine_reasons", R"sql(
SELECT sqlstate, constraint_name, table_name, sum(rows)::bigint FROM dunlin_store.quarantine
WHERE run = $1::uuid AND state = 'quarantined' GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 3)sql"};
const S kListQuarantined{"s_list_quarantined", R"sql(
SELECT id, step, relation, key_columns, key, rows, sqlstate, constraint_name, table_name, tries, state, accepted_by,
  accepted_reason, extract(epoch FROM failed_at)::double precision, extract(epoch FROM tried_at)::double precision, place
FROM dunlin_store.quarantine WHERE run = $1::uuid AND place > $2::bigint ORDER BY place LIMIT $3::int)sql"};

const S kRunsToSweep{"s_runs_to_sweep", R"sql(
SELECT r.id FROM dunlin_store.run r
WHERE r.state IN ('PENDING', 'PLANNING', 'FINALIZING', 'PAUSING', 'CANCELLING')
   OR (r.state = 'RUNNING' AND ($1
         OR EXISTS (SELECT 1 FROM dunlin_store.shard s WHERE s.run = r.id AND s.lease_id IS NOT NULL
                      AND s.expires_at <= clock_timestamp())
         OR EXISTS (SELECT 1 FROM dunlin_store.task t WHERE t.run = r.id AND t.lease_id IS NOT NULL
                      AND t.expires_at <= clock_timestamp())))
   OR (r.state IN ('FAILED', 'FINISHED', 'CANCELLED', 'PAUSED') AND (
         EXISTS (SELECT 1 FROM dunlin_store.shard s WHERE s.run = r.id AND s.lease_id IS NOT NULL)
         OR EXISTS (SELECT 1 FROM dunlin_store.task t WHERE t.run = r.id AND t.lease_id IS NOT NULL)))
   OR (r.state = 'FINISHED' AND r.reconcile_due)
ORDER BY r.state = 'FINISHED', r.id LIMIT 1000)sql"};
const S kExpireShards{"s_expire_shards", R"sql(
UPDATE dunlin_store.shard SET lease_id = NULL, waiting = '', revision = $2::bigint, unreported = true
WHERE run = $1::uuid AND lease_id IS NOT NULL AND expires_at <= clock_timestamp() RETURNING id, agent)sql"};
const S kExpireTasks{"s_expire_tasks", R"sql(
UPDATE dunlin_store.task SET lease_id = NULL, waiting = ''
WHERE run = $1::uuid AND lease_id IS NOT NULL AND expires_at <= clock_timestamp() RETURNING kind)sql"};
const S kRevokeShards{"s_revoke_shards", R"sql(
UPDATE dunlin_store.shard SET lease_id = NULL, waiting = '', revision = $2::bigint, not_before = '-infinity',
  unreported = true
WHERE run = $1::uuid AND lease_id IS NOT NULL AND ($3 = '' OR lease_id::text = $3) RETURNING id)sql"};
const S kRevokeTasks{"s_revoke_tasks", R"sql(
UPDATE dunlin_store.task SET lease_id = NULL, waiting = '', not_before = '-infinity'
WHERE run = $1::uuid AND lease_id IS NOT NULL AND ($2 = '' OR lease_id::text = $2) RETURNING id)sql"};
// Those that could go on, and those that a reconcile may be about to let go on; the other FINISHED
// ones are marked by the next statement.
const S kRunsOfTarget{"s_runs_of_target", R"sql(
SELECT id FROM dunlin_store.run WHERE target = $1 AND (state <> 'FINISHED' OR reconcile_due) AND NOT void ORDER BY id)sql"};
// What a gate was told before counts no more. $2: and each is read again, but those in whose place
// another stands, and those that never had shards.
const S kMarkFinishedRuns{"s_mark_finished_runs", R"sql(
UPDATE dunlin_store.run r SET confirmed = '', confirmed_at = NULL,
  reconcile_due = r.reconcile_due OR ($2::boolean AND r.planned_steps > 0
    AND NOT EXISTS (SELECT 1 FROM dunlin_store.run n WHERE n.target = r.target AND NOT n.void
                      AND (n.supersedes = r.migration OR (n.migration = r.migration AND n.created_at > r.created_at))))
WHERE r.target = $1 AND r.state = 'FINISHED' AND NOT r.void)sql"};
const S kMarkUnfinished{"s_mark_unfinished", R"sql(
UPDATE dunlin_store.run SET finished_at = NULL, confirmed = '', confirmed_at = NULL, confirmed_finish_at = NULL
WHERE id = $1::uuid)sql"};
const S kPlannedSystem{"s_planned_system",
                       "SELECT planned_system FROM dunlin_store.run WHERE id = $1::uuid"};
const S kMarkPlannedOn{"s_mark_planned_on",
                       "UPDATE dunlin_store.run SET planned_system = $2 WHERE id = $1::uuid"};
const S kStepsWithShards{"s_steps_with_shards",
                         "SELECT DISTINCT step FROM dunlin_store.shard WHERE run = $1::uuid"};
const S kPendingRunsOfTargets{"s_pending_runs_of_targets", R"sql(
SELECT id FROM dunlin_store.run WHERE target = ANY ($1::text[]) AND state = 'PENDING' ORDER BY id LIMIT 1000)sql"};
const S kRunsWithLeases{"s_runs_with_leases", R"sql(
SELECT run FROM dunlin_store.shard WHERE lease_id IS NOT NULL UNION
SELECT run FROM dunlin_store.task WHERE lease_id IS NOT NULL ORDER BY 1)sql"};

const S kPaceFacts{"s_pace_facts", R"sql(
SELECT coalesce((SELECT t.foreign_transactions FROM dunlin_store.target t WHERE t.name = r.target), -1),
  (SELECT count(*) FROM dunlin_store.shard s WHERE s.run = r.id AND s.lease_id IS NOT NULL AND s.waiting LIKE 'backs off%'),
  coalesce((SELECT max(s.waiting) FROM dunlin_store.shard s WHERE s.run = r.id AND NOT s.done
              AND (s.lease_id IS NOT NULL OR s.not_before > clock_timestamp())), ''),
  coalesce((SELECT max(t.waiting) FROM dunlin_store.task t WHERE t.run = r.id AND NOT t.done), ''),
  (SELECT coalesce(sum(s.rows_done), 0)::bigint FROM dunlin_store.shard s WHERE s.run = r.id),
  r.rate, r.rate_rows, coalesce(extract(epoch FROM clock_timestamp() - r.rate_at)::double precision, -1),
  coalesce(extract(epoch FROM clock_timestamp() - r.working_since)::double precision, 0),
  (SELECT count(*) FROM dunlin_store.shard s WHERE s.run = r.id AND s.lease_id IS NOT NULL), r.wal_rows_per_second
FROM dunlin_store.run r WHERE r.id = $1::uuid)sql"};
const S kSetPriority{"s_set_priority",
                     "UPDATE dunlin_store.run SET priority = $2::int WHERE id = $1::uuid"};
// The others that work on the same target, as they were last told.
const S kSharesOfTarget{"s_shares_of_target", R"sql(
SELECT r.id, p.shards, r.priority FROM dunlin_store.run r JOIN dunlin_store.pace p ON p.run = r.id
WHERE r.target = $1 AND r.state = 'RUNNING' AND r.id <> $2::uuid ORDER BY r.id LIMIT 1000)sql"};
const S kPriority{"s_priority", "SELECT priority FROM dunlin_store.run WHERE id = $1::uuid"};
const S kReadThrottle{"s_read_throttle", R"sql(
SELECT ratio, until <= clock_timestamp(), base_concurrency, base_rows_per_second, base_batch_time_ms, base_ratio
FROM dunlin_store.throttle WHERE run = $1::uuid)sql"};
const S kSaveThrottle{"s_save_throttle", R"sql(
INSERT INTO dunlin_store.throttle AS t (run, ratio, until, base_concurrency, base_rows_per_second, base_batch_time_ms,
  base_ratio, throttled_by)
VALUES ($1::uuid, $2::double precision, clock_timestamp() + $3::double precision * interval '1 second', $4::int, $5::bigint,
  $6::bigint, $7::double precision, $8)
ON CONFLICT (run) DO UPDATE SET ratio = excluded.ratio, until = excluded.until, base_concurrency = excluded.base_concurrency,
  base_rows_per_second = excluded.base_rows_per_second, base_batch_time_ms = excluded.base_batch_time_ms,
  base_ratio = excluded.base_ratio, throttled_by = excluded.throttled_by)sql"};
const S kThrottledBy{"s_throttled_by", R"sql(
SELECT throttled_by, to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') FROM dunlin_store.throttle
WHERE run = $1::uuid)sql"};
const S kSetLimits{"s_set_limits", R"sql(
UPDATE dunlin_store.run SET concurrency_limit = $2::int, rows_per_second = $3::bigint, batch_time_ms = $4::bigint
WHERE id = $1::uuid)sql"};
const S kLiveRuns{"s_live_runs", R"sql(
SELECT id FROM dunlin_store.run WHERE state NOT IN ('FINISHED', 'CANCELLED', 'FAILED') ORDER BY id)sql"};
const S kNowSeconds{"s_now_seconds",
                    "SELECT extract(epoch FROM clock_timestamp())::double precision"};
const S kReadPace{"s_read_pace", R"sql(
SELECT rung, too_much, pressure_seen, pressed_alone, was_alone, changed_at, pressed_at, busy_at, reasons, signature, shown_at
FROM dunlin_store.pace WHERE run = $1::uuid)sql"};
// Nothing is written while nothing changes.
const S kSavePace{"s_save_pace", R"sql(
INSERT INTO dunlin_store.pace AS p (run, rung, too_much, pressure_seen, pressed_alone, was_alone, changed_at, pressed_at,
  busy_at, batch_ms, duty, reasons, signature, shown_at, shards)
VALUES ($1::uuid, $2::int, $3::int, $4::boolean, $5::boolean, $6::boolean, $7::double precision, $8::double precision,
  $9::double precision, $10::bigint, $11::double precision, $12::text[], $13, $14::double precision, $15::int)
ON CONFLICT (run) DO UPDATE SET rung = excluded.rung, too_much = excluded.too_much, pressure_seen = excluded.pressure_seen,
  pressed_alone = excluded.pressed_alone, was_alone = excluded.was_alone, changed_at = excluded.changed_at,
  pressed_at = excluded.pressed_at, busy_at = excluded.busy_at, batch_ms = excluded.batch_ms, duty = excluded.duty,
  reasons = excluded.reasons, signature = excluded.signature, shown_at = excluded.shown_at,
  shards = excluded.shards
WHERE p IS DISTINCT FROM excluded)sql"};
const S kForgetPace{"s_forget_pace", "DELETE FROM dunlin_store.pace WHERE run = $1::uuid"};
// The board, and whether a run is live on the target: else what could be read before is of no
// concern.
const S kLockSignals{"s_lock_signals", R"sql(
SELECT encode(g.board, 'hex'), EXISTS (SELECT 1 FROM dunlin_store.run r WHERE r.target = g.target
                                         AND r.state NOT IN ('FINISHED', 'CANCELLED', 'FAILED'))
FROM dunlin_store.target_signals g WHERE g.target = $1 AND g.agent::text = $2 FOR UPDATE)sql"};
const S kSaveSignals{"s_save_signals", R"sql(
UPDATE dunlin_store.target_signals SET board = decode($2, 'hex'), measured_at = clock_timestamp(), alone_seconds = $3::bigint
WHERE target = $1)sql"};
// Renews an agent's duty, or takes it over from one that is not heard of any more.
const S kElectMeasurer{"s_elect_measurer", R"sql(
INSERT INTO dunlin_store.target_signals AS g (target, agent, since, until)
VALUES ($1, $2::uuid, clock_timestamp(), clock_timestamp() + $3::double precision * interval '1 second')
ON CONFLICT (target) DO UPDATE SET agent = excluded.agent, until = excluded.until,
  since = CASE WHEN g.agent = excluded.agent AND g.until > clock_timestamp() THEN g.since ELSE excluded.since END
WHERE g.agent = excluded.agent OR g.until < clock_timestamp()
RETURNING g.target)sql"};
// Always one row. Ages as seconds.
const S kReadSignals{"s_read_signals", R"sql(
SELECT encode(g.board, 'hex'), coalesce(extract(epoch FROM clock_timestamp() - g.measured_at)::double precision, 0),
  coalesce(g.until > clock_timestamp(), false),
  coalesce(extract(epoch FROM clock_timestamp() - g.since)::double precision, 0),
  extract(epoch FROM clock_timestamp())::double precision,
  coalesce((SELECT t.foreign_transactions FROM dunlin_store.target t WHERE t.name = $1), -1)
FROM (SELECT 1) one LEFT JOIN dunlin_store.target_signals g ON g.target = $1)sql"};
const S kRunsToMeasure{"s_runs_to_measure", R"sql(
SELECT r.id, r.migration, r.digest, encode(r.definition, 'hex'), r.throttled_reason FROM dunlin_store.run r
WHERE r.target = $1 AND r.state IN ('PLANNING', 'RUNNING', 'FINALIZING') ORDER BY r.id LIMIT 100)sql"};
// Runs that nobody has told of yet: what lies back more than ten minutes stays untold.
const S kBeginToTell{"s_begin_to_tell", R"sql(
INSERT INTO dunlin_store.notified (run, revision)
SELECT r.id, coalesce((SELECT max(e.revision) FROM dunlin_store.event e
                       WHERE e.run = r.id AND e.at < clock_timestamp() - interval '10 minutes'), 0)
FROM dunlin_store.run r WHERE NOT EXISTS (SELECT 1 FROM dunlin_store.notified n WHERE n.run = r.id)
ON CONFLICT DO NOTHING)sql"};
// Those that have changed, and live ones, which may stand still; least lately looked at first.
const S kClaimNotices{"s_claim_notices", R"sql(
UPDATE dunlin_store.notified n SET claimed_until = clock_timestamp() + interval '2 minutes'
FROM (SELECT c.run FROM dunlin_store.notified c JOIN dunlin_store.run r ON r.id = c.run
      WHERE c.claimed_until < clock_timestamp() AND c.next_at <= clock_timestamp()
        AND (r.revision > c.revision OR r.state IN ('PENDING', 'PLANNING', 'RUNNING', 'FINALIZING'))
      ORDER BY c.noted_at, c.run LIMIT 5 FOR UPDATE OF c SKIP LOCKED) due
WHERE n.run = due.run
RETURNING n.run, n.revision, n.mark, extract(epoch FROM clock_timestamp() - n.mark_at)::double precision, n.stall_told)sql"};
const S kMarkProgress{"s_mark_progress", R"sql(
UPDATE dunlin_store.notified SET mark = $2, mark_at = clock_timestamp(), stall_told = false WHERE run = $1::uuid)sql"};
const S kNoteTold{"s_note_told", R"sql(
UPDATE dunlin_store.notified SET revision = greatest(revision, $2::bigint), claimed_until = '-infinity',
  noted_at = clock_timestamp(), tries = CASE WHEN $3::boolean THEN 0 ELSE tries + 1 END,
  next_at = clock_timestamp() + CASE WHEN $3::boolean THEN 0 ELSE least(300, 2 ^ least(tries, 9)) END * interval '1 second',
  stall_told = stall_told OR $4::boolean
WHERE run = $1::uuid)sql"};
const S kUpdateRate{"s_update_rate", R"sql(
UPDATE dunlin_store.run SET rate = $2::double precision, rate_rows = $3::bigint, rate_at = clock_timestamp(),
  wal_rows_per_second = $4::double precision
WHERE id = $1::uuid)sql"};
// What is no audit entry is kept for a week, the newest 100,000 of a run. Oldest first and so many
// at a time, so that the transaction stays short.
const S kPruneEvents{"s_prune_events", R"sql(
WITH gone AS (
  DELETE FROM dunlin_store.event e USING (
    SELECT o.revision FROM dunlin_store.event o JOIN dunlin_store.run r ON r.id = o.run
    WHERE o.run = $1::uuid AND NOT o.audit
      AND (o.revision < r.revision - 100000 OR o.at < clock_timestamp() - interval '7 days')
    ORDER BY o.revision LIMIT 20000) old
  WHERE e.run = $1::uuid AND e.revision = old.revision
  RETURNING e.revision)
SELECT coalesce(max(revision), 0) FROM gone)sql"};
const S kAllRuns{"s_all_runs", "SELECT id FROM dunlin_store.run ORDER BY id"};
const S kSetOldest{"s_set_oldest", R"sql(
UPDATE dunlin_store.run SET oldest_revision = greatest(oldest_revision, $2::bigint) WHERE id = $1::uuid)sql"};

}  // namespace dunlin::coordinator::sql
