#include "agent/task/schema_locks.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/task/schema_tools.h"
#include "agent/task/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

SchemaLock HeldBy(const std::string& what, const pg::Result& row, size_t at, size_t pid,
                  size_t application) {
  SchemaLock lock{.pid = static_cast<int>(row.Int(at, pid)),
                  .application_name = row.Text(at, application)};
  lock.text = absl::StrCat(what, " is held by pid ", lock.pid, " (application ",
                           lock.application_name, ")");
  return lock;
}

absl::Status AddAdvisoryLocks(pg::Connection& connection, SchemaLocks& found) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result database, connection.Execute(sql::kDatabaseName));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tables, connection.Execute(sql::kVersionTables));
  std::vector<std::pair<std::string, std::string>> version_tables;
  for (size_t row = 0; row < tables.rows.size(); ++row)
    version_tables.emplace_back(tables.Text(row, 0), tables.Text(row, 1));
  const SchemaToolLocks tools(database.Text(0, 0), version_tables);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result locks, connection.Execute(sql::kAdvisoryLocks));
  for (size_t row = 0; row < locks.rows.size(); ++row) {
    const std::string tool = locks.IsNull(row, 0) ? "" : tools.ToolOf(locks.Int(row, 0));
    if (!tool.empty()) {
      found.push_back(HeldBy(absl::StrCat("the migration lock of ", tool), locks, row, 1, 2));
    } else if (!locks.IsNull(row, 3)) {
      found.push_back(
          HeldBy(absl::StrCat("an advisory lock, with ", locks.Text(row, 3), " in use,"), locks,
                 row, 1, 2));
    }
  }
  return absl::OkStatus();
}

absl::Status AddTableLocks(pg::Connection& connection, const std::vector<std::string>& tables,
                           SchemaLocks& found) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result locks,
                          connection.Execute(sql::kTableLocks, {pg::EncodeTextArray(tables)}));
  for (size_t row = 0; row < locks.rows.size(); ++row) {
    found.push_back(
        HeldBy(absl::StrCat("an AccessExclusiveLock on ", locks.Text(row, 0)), locks, row, 1, 2));
  }
  return absl::OkStatus();
}

absl::Status AddLiquibaseLocks(pg::Connection& connection, SchemaLocks& found) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tables, connection.Execute(sql::kLiquibaseTables));
  for (size_t row = 0; row < tables.rows.size(); ++row) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result locked, connection.Query(tables.Text(row, 1)));
    for (size_t at = 0; at < locked.rows.size(); ++at) {
      found.push_back(
          {.text = absl::StrCat("the migration lock of Liquibase (", tables.Text(row, 0),
                                ") is held by ", locked.Text(at, 0),
                                "; if no Liquibase is running: liquibase release-locks")});
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SchemaLocks> FindSchemaLocks(pg::Connection& connection,
                                            const std::vector<std::string>& tables) {
  SchemaLocks found;
  DUNLIN_RETURN_IF_ERROR(AddAdvisoryLocks(connection, found));
  DUNLIN_RETURN_IF_ERROR(AddLiquibaseLocks(connection, found));
  DUNLIN_RETURN_IF_ERROR(AddTableLocks(connection, tables, found));
  return found;
}

}  // namespace dunlin::agent
