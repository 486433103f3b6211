#include "cli/rehearsal/scratch_database.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "agent/ledger/relation.h"
#include "common/migration/identifier.h"
#include "common/pg/connection.h"
#include "common/pg/session.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kTimeout = absl::Minutes(1);
// Each is held in memory several times, and every run of a case compares them all.
constexpr int64_t kMaxRows = 100'000;

// Tables of the application: neither Dunlin's own nor an extension's.
constexpr const char* kTables = R"sql(
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'dunlin', 'dunlin_store')
  AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1)sql";

absl::StatusOr<std::unique_ptr<pg::Connection>> Open(const Secret& dsn) {
  pg::SessionPins pins;
  pins.application_name = "dunlin/test";
  pins.search_path = "public, pg_temp";
  pins.statement_timeout = kTimeout;
  pins.lock_timeout = kTimeout;
  pins.idle_in_transaction_timeout = kTimeout;
  return pg::Connection::Connect(dsn, pg::MakeSessionOptions(pins));
}

absl::Status RunScript(const Secret& dsn, const std::string& sql, const std::string& what) {
  if (sql.empty()) return absl::OkStatus();
  // A session each: a dump sets its own search_path.
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, Open(dsn));
  const absl::Status ran = connection->ExecuteScript(sql, {.timeout = kTimeout});
  if (ran.ok()) return ran;
  return absl::InvalidArgumentError(absl::StrCat(what, " fails: ", ran.message()));
}

// What pg_dump writes for psql alone.
std::string WithoutPsqlCommands(const std::string& sql) {
  std::vector<absl::string_view> kept;
  for (const absl::string_view line : absl::StrSplit(sql, '\n')) {
    if (!absl::StartsWith(line, "\\restrict") && !absl::StartsWith(line, "\\unrestrict"))
      kept.push_back(line);
  }
  return absl::StrJoin(kept, "\n");
}

std::string Columns(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, QuoteIdentifier(name));
  });
}

// Quoted, so that nothing of a test's file is put into SQL as it stands.
absl::StatusOr<std::string> TableSql(const std::string& table) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> parts, ParseIdentifier(table));
  return absl::StrJoin(parts, ".", [](std::string* out, const std::string& part) {
    absl::StrAppend(out, QuoteIdentifier(part));
  });
}

absl::Status InsertRows(pg::Connection& connection, const TestTable& table) {
  DUNLIN_ASSIGN_OR_RETURN(const std::string name, TableSql(table.table));
  for (const TestRow& row : table.rows) {
    // Only the columns that the row names: the others get their defaults.
    const std::string columns = Columns(row.columns);
    const absl::Status inserted =
        connection
            .Query(absl::StrCat("INSERT INTO ", name, " (", columns,
                                ") OVERRIDING SYSTEM VALUE SELECT ", columns,
                                " FROM pg_catalog.json_populate_record(NULL::", name, ", $1)"),
                   {row.json}, {.timeout = kTimeout})
            .status();
    if (!inserted.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("the row of ", table.table, " at line ",
                                                     row.line,
                                                     " cannot be inserted: ", inserted.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status CompareTable(pg::Connection& connection, const TestTable& table,
                          std::vector<Difference>& differences) {
  DUNLIN_ASSIGN_OR_RETURN(const std::string name, TableSql(table.table));
  std::vector<std::string> rows;
  for (const TestRow& row : table.rows) rows.push_back(row.json);
  const std::string columns = table.rows.empty() ? "*" : Columns(table.rows.front().columns);
  // Both through the table's own types, and compared by value: 1.0 is 1.
  const auto found = connection.Query(
      absl::StrCat(
          "WITH wanted AS (SELECT to_jsonb(r) AS image FROM json_array_elements($1) AS e(j), "
          "LATERAL (SELECT ",
          columns, " FROM json_populate_record(NULL::", name,
          ", e.j)) AS r), found AS (SELECT to_jsonb(r) AS image FROM (SELECT ", columns, " FROM ",
          name,
          ") AS r) SELECT false, image::text FROM (SELECT image FROM wanted EXCEPT ALL SELECT "
          "image FROM found) AS a UNION ALL SELECT true, image::text FROM (SELECT image FROM "
          "found EXCEPT ALL SELECT image FROM wanted) AS b ORDER BY 2, 1"),
      {absl::StrCat("[", absl::StrJoin(rows, ","), "]")}, {.timeout = kTimeout});
  if (!found.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expect.", table.table, " at line ", table.line,
                     " cannot be compared: ", found.status().message()));
  }
  for (size_t i = 0; i < found->rows.size(); ++i) {
    differences.push_back(
        {.table = table.table, .row = found->Text(i, 1), .unexpected = found->Bool(i, 0)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FillDatabase(const Secret& dsn, const TestFile& test, const std::string& schema_file,
                          const TestCase& one) {
  DUNLIN_RETURN_IF_ERROR(RunScript(dsn, WithoutPsqlCommands(schema_file), test.schema_file));
  DUNLIN_RETURN_IF_ERROR(RunScript(dsn, test.schema, "the SQL of `schema`"));
  DUNLIN_RETURN_IF_ERROR(RunScript(dsn, one.rows_sql, "the SQL of `rows`"));
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, Open(dsn));
  for (const TestTable& table : one.rows) DUNLIN_RETURN_IF_ERROR(InsertRows(*connection, table));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Difference>> CompareToExpected(const Secret& dsn, const TestCase& one) {
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, Open(dsn));
  std::vector<Difference> differences;
  if (!one.expect_sql.empty()) {
    const auto wrong = connection->Query(one.expect_sql, {}, {.timeout = kTimeout});
    if (!wrong.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the query of `expect` fails: ", wrong.status().message()));
    }
    for (const auto& row : wrong->rows) {
      std::vector<std::string> fields;
      for (size_t i = 0; i < row.size(); ++i)
        fields.push_back(absl::StrCat(wrong->columns[i], "=", row[i].value_or("NULL")));
      differences.push_back({.table = "the query of `expect`",
                             .row = absl::StrJoin(fields, " "),
                             .unexpected = true});
    }
  }
  for (const TestTable& table : one.expect)
    DUNLIN_RETURN_IF_ERROR(CompareTable(*connection, table, differences));
  return differences;
}

absl::StatusOr<Snapshot> TakeSnapshot(const Secret& dsn, const TestFile& test) {
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, Open(dsn));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tables, connection->Query(kTables));
  Snapshot snapshot;
  int64_t left = kMaxRows;
  for (size_t i = 0; i < tables.rows.size(); ++i) {
    const std::string& table = tables.Text(i, 0);
    std::vector<std::string> ignored;
    for (const auto& [of, column] : test.ignore) {
      if (of == table) ignored.push_back(column);
    }
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result rows,
        connection->Query(absl::StrCat("SELECT (to_jsonb(t) - $1::text[])::text FROM ONLY ", table,
                                       " AS t LIMIT ", left + 1),
                          {pg::EncodeTextArray(ignored)}, {.timeout = kTimeout}));
    left -= static_cast<int64_t>(rows.rows.size());
    if (left < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the case has more than ", kMaxRows,
                       " rows afterwards; a test needs a few of each kind, and runs often"));
    }
    std::vector<std::string>& sorted = snapshot[table];
    for (size_t row = 0; row < rows.rows.size(); ++row) sorted.push_back(rows.Text(row, 0));
    std::sort(sorted.begin(), sorted.end());
  }
  return snapshot;
}

std::vector<Difference> CompareSnapshots(const Snapshot& wanted, const Snapshot& found) {
  std::set<std::string> tables;
  for (const auto& [table, rows] : wanted) tables.insert(table);
  for (const auto& [table, rows] : found) tables.insert(table);
  std::vector<Difference> differences;
  const auto add = [&](const std::string& table, const std::vector<std::string>& from,
                       const std::vector<std::string>& without, bool unexpected) {
    std::vector<std::string> only;
    std::set_difference(from.begin(), from.end(), without.begin(), without.end(),
                        std::back_inserter(only));
    for (std::string& row : only)
      differences.push_back({.table = table, .row = std::move(row), .unexpected = unexpected});
  };
  const std::vector<std::string> none;
  const auto of = [&none](const Snapshot& snapshot, const std::string& table) -> const auto& {
    const auto rows = snapshot.find(table);
    return rows == snapshot.end() ? none : rows->second;
  };
  for (const std::string& table : tables) {
    add(table, of(wanted, table), of(found, table), false);
    add(table, of(found, table), of(wanted, table), true);
  }
  return differences;
}

}  // namespace dunlin::cli
