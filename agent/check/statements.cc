#include "agent/check/statements.h"

namespace dunlin::agent::sql {

const pg::Statement kRowSecurity{"c_row_security", R"sql(
SELECT pg_catalog.row_security_active($1::oid), quote_ident(current_user))sql"};

const pg::Statement kForeignKeysWithoutIndex{"c_foreign_keys", R"sql(
SELECT quote_ident(f.conname),
       f.conrelid::regclass::text || ' (' || (
         SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.at)
         FROM unnest(f.conkey) WITH ORDINALITY k(num, at)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num) || ')',
       c.relpages
FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
WHERE f.contype = 'f' AND f.confrelid = $1::oid
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
      AND (SELECT array_agg(k.num) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, at)
           WHERE k.at <= cardinality(f.conkey)) @> f.conkey)
ORDER BY 1)sql"};

const pg::Statement kHeapOrder{"c_heap_order", R"sql(
SELECT s.correlation,
       pg_catalog.pg_relation_size(c.oid) <= b.setting::bigint * 8192
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_settings b ON b.name = 'shared_buffers'
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = c.relnamespace::regnamespace::name AND s.tablename = c.relname
  AND s.attname = $2 AND NOT s.inherited
WHERE c.oid = $1::oid)sql"};

const pg::Statement kLedgerGrants{"c_ledger_grants", R"sql(
SELECT quote_ident(current_user),
       CASE WHEN to_regnamespace('dunlin') IS NULL
            THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege('dunlin', 'USAGE') END,
       pg_has_role('pg_monitor', 'USAGE'))sql"};

// Counts of a session that are not told yet stand in these views too: the difference of two looks
// counts.
const pg::Statement kEffects{"c_effects", R"sql(
SELECT quote_ident(schemaname) || '.' || quote_ident(relname), relid, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del
FROM pg_catalog.pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
ORDER BY 1)sql"};

// By what an index depends on: expressions and predicates count too.
const pg::Statement kIndexesOn{"c_indexes_on", R"sql(
SELECT DISTINCT i.indexrelid::regclass::text
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
WHERE i.indrelid = $1::oid AND a.attname = ANY ($2::text[])
UNION
SELECT i.indexrelid::regclass::text
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = $1::oid AND a.attname = ANY ($2::text[])
ORDER BY 1)sql"};

const pg::Statement kTreeOids{"c_tree_oids", R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT h.inhrelid FROM tree t JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid)
SELECT oid FROM tree)sql"};

const pg::Statement kRowsKnown{"c_rows_known", R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT h.inhrelid FROM tree t JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid)
SELECT coalesce(sum(c.reltuples) FILTER (WHERE c.reltuples >= 0), -1)::bigint
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid WHERE c.relkind = 'r')sql"};

const pg::Statement kClockAndWal{"c_clock_and_wal", R"sql(
SELECT extract(epoch FROM clock_timestamp()), pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)sql"};

const pg::Statement kSpendOf{"c_spend", R"sql(
SELECT set_config('statement_timeout',
                  greatest(1, $1::bigint - floor(extract(epoch FROM clock_timestamp() - now()) * 1000)::bigint)::text,
                  true))sql"};

}  // namespace dunlin::agent::sql
