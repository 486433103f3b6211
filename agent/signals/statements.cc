#include "agent/signals/statements.h"

namespace dunlin::agent::sql {

// One row by an index of a catalog that every role may read: what it takes longer than usual, the
// application's statements do, too.
const pg::Statement kProbe{"d_probe", "SELECT 1 FROM pg_catalog.pg_class WHERE oid = 1259"};

// Whether a session of Dunlin's is in a transaction now, and how many of others have an open one
// that has written or is in a statement. Who asks often may not ask pg_locks: it holds all of the
// lock manager's locks while it reads, and on a busy core for as long as it waits for its next
// turn. What a transaction has (backend_xid, backend_xmin) every role sees.
const pg::Statement kWhoWorks{"d_who_works", R"sql(
SELECT coalesce(bool_or(s.application_name ~ '^dunlin/[0-9]' AND s.xact_start IS NOT NULL), false),
       count(*) FILTER (WHERE coalesce(s.backend_xid, s.backend_xmin) IS NOT NULL
                          AND coalesce(s.application_name, '') NOT LIKE 'dunlin/%')
FROM pg_catalog.pg_stat_get_activity(NULL) s
WHERE s.usesysid IS NOT NULL AND s.datid IS NOT NULL)sql"};

const pg::Statement kTransactionsEnded{"d_transactions_ended", R"sql(
SELECT xact_commit + xact_rollback FROM pg_catalog.pg_stat_database WHERE datname = current_database())sql"};

// Transactions of others; sessions that work for Dunlin; others that wait for a lock; and of those
// the ones that a session of Dunlin's blocks, each with whether it has waited for long (NULL before
// 14).
const pg::Statement kLockSnapshot{"d_lock_snapshot", R"sql(
WITH l AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks),
ours AS MATERIALIZED (
  SELECT a.pid, a.application_name ~ '^dunlin/[0-9]' AS works FROM pg_catalog.pg_stat_activity a
  WHERE a.application_name LIKE 'dunlin/%'),
waiting AS MATERIALIZED (
  SELECT l.pid, max(l.virtualtransaction) AS vxid, min((to_jsonb(l) ->> 'waitstart')::timestamptz) AS since
  FROM l WHERE NOT l.granted AND l.pid NOT IN (SELECT o.pid FROM ours o) GROUP BY l.pid),
active AS MATERIALIZED (
  SELECT l.pid FROM l WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock')
SELECT (SELECT count(*) FROM active x JOIN pg_catalog.pg_stat_activity a ON a.pid = x.pid
        WHERE a.datname = current_database() AND a.pid NOT IN (SELECT o.pid FROM ours o)
          AND coalesce(a.backend_type, 'client backend') = 'client backend'),
       (SELECT count(*) FROM active x JOIN ours o ON o.pid = x.pid WHERE o.works),
       (SELECT count(*) FROM waiting),
       (SELECT array_agg(w.pid || ' ' || w.vxid) FROM waiting w
        WHERE pg_catalog.pg_blocking_pids(w.pid) && (SELECT array_agg(o.pid) FROM ours o)
          AND (w.since IS NULL OR w.since < clock_timestamp() - interval '100 milliseconds')),
       coalesce((SELECT bool_and(w.since IS NOT NULL) FROM waiting w), false),
       current_setting('max_connections')::bigint,
       (1000 * extract(epoch FROM current_setting('deadlock_timeout')::interval))::bigint)sql"};

const pg::Statement kMayReadStats{"d_may_read_stats", R"sql(
SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), quote_ident(current_user))sql"};

const pg::Statement kWalPosition{"d_wal_position", R"sql(
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint)sql"};

// Names are made unique by the address or pid.
const pg::Statement kReplicas{"d_replicas", R"sql(
SELECT coalesce(nullif(r.application_name, ''), 'pid ' || r.pid)
         || CASE WHEN count(*) OVER (PARTITION BY r.application_name) > 1
                 THEN ' (' || coalesce(host(r.client_addr), 'pid ' || r.pid) || ')' ELSE '' END,
       pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::bigint
FROM pg_catalog.pg_stat_replication r
WHERE r.state IS DISTINCT FROM 'backup' AND coalesce(r.application_name, '') <> 'pg_basebackup'
ORDER BY 1 LIMIT 64)sql"};

const pg::Statement kSlots{"d_slots", R"sql(
SELECT s.slot_name, s.slot_type = 'logical' AND s.active,
       pg_catalog.pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0')::bigint,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint,
       s.wal_status = 'unreserved', s.safe_wal_size,
       pg_catalog.pg_size_bytes(current_setting('max_slot_wal_keep_size'))
FROM pg_catalog.pg_replication_slots s
WHERE s.restart_lsn IS NOT NULL AND s.wal_status <> 'lost' ORDER BY 1 LIMIT 64)sql"};

// Whether WAL is archived; whether the latest try failed, and of what; the newest file that is
// archived and the one that is written; the size of a file.
const pg::Statement kArchiver{"d_archiver", R"sql(
SELECT current_setting('archive_mode') <> 'off',
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false),
       coalesce(a.last_failed_wal, ''), coalesce(a.last_archived_wal, ''),
       pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()),
       pg_catalog.pg_size_bytes(current_setting('wal_segment_size'))
FROM pg_catalog.pg_stat_archiver a)sql"};

// Vacuums do not hold back cleaning. A plain role does not see when others began.
const pg::Statement kTransactionAges{"d_transaction_ages", R"sql(
SELECT l.virtualtransaction,
       'pid ' || l.pid || CASE WHEN coalesce(a.application_name, '') <> ''
                               THEN ' (' || a.application_name || ')' ELSE '' END,
       extract(epoch FROM clock_timestamp() - a.xact_start)::double precision
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'
  AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND coalesce(a.application_name, '') NOT LIKE 'dunlin/%'
  AND coalesce(a.backend_type, 'client backend') <> 'autovacuum worker'
  AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum v))sql"};

const pg::Statement kPreparedAges{"d_prepared_ages", R"sql(
SELECT p.gid, extract(epoch FROM clock_timestamp() - p.prepared)::double precision
FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database() ORDER BY p.prepared LIMIT 1)sql"};

// Of a table and its partitions. A small table is not judged by shares. What the server counts of
// live rows is gone after a crash, a promotion or a copy of the database, what ANALYZE found is
// not.
const pg::Statement kDeadRows{"d_dead_rows", R"sql(
SELECT coalesce(sum(s.n_dead_tup) / greatest(sum(greatest(s.n_live_tup, c.reltuples)), 10000), 0)::double precision
FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid AND c.relkind <> 'p'
WHERE s.relid = to_regclass($1) OR s.relid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(to_regclass($1)) t))sql"};

const pg::Statement kNotePace{"d_note_pace", R"sql(
INSERT INTO dunlin.pace AS p (run, throttled_reason) SELECT r.id, $2 FROM dunlin.run r WHERE r.id = $1::uuid
ON CONFLICT (run) DO UPDATE SET throttled_reason = excluded.throttled_reason, noted_at = clock_timestamp())sql"};

const char* const kBeginCheck = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
const char* const kEndCheck = "ROLLBACK";

}  // namespace dunlin::agent::sql
