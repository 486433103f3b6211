#include "agent/task/statements.h"

namespace dunlin::agent::sql {

using S = pg::Statement;

const S kDatabaseName{"t_database_name", "SELECT current_database()"};
// Like golang-migrate's: (version, dirty) and nothing else.
const S kVersionTables{"t_version_tables", R"sql(
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relnatts = 2
  AND EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'version')
  AND EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'dirty')
ORDER BY 1, 2 LIMIT 100)sql"};
// Each advisory lock of this database; the key when it is one number; whether its session has the
// record of a tool in hand that has no lock of its own, so that its users take any (Alembic,
// Django). One look at pg_locks, so that both are of the same moment.
const S kAdvisoryLocks{"t_advisory_locks", R"sql(
WITH locks AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks)
SELECT CASE WHEN l.objsubid = 1 THEN (l.classid::bigint << 32) | l.objid::bigint END, l.pid,
  coalesce(nullif(a.application_name, ''), 'unnamed'),
  (SELECT min(c.relname) FROM locks v JOIN pg_catalog.pg_class c ON c.oid = v.relation
   WHERE v.pid = l.pid AND v.locktype = 'relation' AND v.database = l.database
     AND c.relname IN ('alembic_version', 'django_migrations', 'schema_migrations'))
FROM locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
ORDER BY l.pid LIMIT 1000)sql"};
// $1: tables as in files: unqualified = schema public, whatever the session's search_path is.
// Partitions count as their table. A name that is none is nobody's.
const S kTableLocks{"t_table_locks", R"sql(
WITH RECURSIVE tree(name, rel) AS (
  SELECT t.name, to_regclass(CASE WHEN array_length(parse_ident(t.name), 1) = 1 THEN 'public.' ELSE '' END || t.name)::oid
  FROM unnest($1::text[]) AS t(name)
  UNION
  SELECT t.name, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.rel)
SELECT DISTINCT t.name, l.pid, coalesce(nullif(a.application_name, ''), 'unnamed')
FROM tree t JOIN pg_catalog.pg_locks l ON l.relation = t.rel
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
ORDER BY 1, 2 LIMIT 1000)sql"};
// Liquibase locks by a row, which outlives its session: a statement that reads the locked ones of
// each such table that this role may read. Names are the catalog's, quoted by the server.
const S kLiquibaseTables{"t_liquibase_tables", R"sql(
SELECT format('%I.%I', n.nspname, c.relname),
  format('SELECT coalesce(%I, ''somebody'') FROM %I.%I WHERE %I', b.attname, n.nspname, c.relname, l.attname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute l ON l.attrelid = c.oid AND lower(l.attname) = 'locked' AND l.atttypid = 'bool'::regtype
JOIN pg_catalog.pg_attribute b ON b.attrelid = c.oid AND lower(b.attname) = 'lockedby'
WHERE lower(c.relname) = 'databasechangeloglock' AND c.relkind = 'r'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1 LIMIT 100)sql"};

}  // namespace dunlin::agent::sql
