#include "agent/ledger/relation.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/statements.h"
#include "common/migration/identifier.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::agent {
namespace {

// Key columns as catalog names; the primary key's when none are named.
absl::StatusOr<std::vector<std::string>> KeyNames(pg::Connection& connection,
                                                  const Relation& relation,
                                                  const std::vector<std::string>& key) {
  if (!key.empty()) return key;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(sql::kPrimaryKey, {absl::StrCat(relation.oid)}));
  std::vector<std::string> names;
  for (size_t row = 0; row < result.rows.size(); ++row) names.push_back(result.Text(row, 0));
  if (names.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "table ", relation.name_sql,
        " has no primary key; name a NOT NULL key that orders it with `key: [column]`"));
  }
  return names;
}

absl::Status AddKeyColumn(pg::Connection& connection, const std::string& name, Relation& relation) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(sql::kKeyColumn, {absl::StrCat(relation.oid), name}));
  if (result.rows.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "table ", relation.name_sql, " has no column \"", name, "\", which `key` names"));
  }
  KeyColumn column{.name = name, .name_sql = result.Text(0, 0)};
  column.type = static_cast<pg::Oid>(result.Int(0, 1));
  column.type_sql = result.Text(0, 2);
  column.collation_sql = result.IsNull(0, 3) ? "" : absl::StrCat(" COLLATE ", result.Text(0, 3));
  column.not_null = result.Bool(0, 4);
  column.generated = result.Bool(0, 5);
  column.sortable = result.Bool(0, 6);
  if (!result.IsNull(0, 7)) {
    absl::StrAppend(&relation.collation_versions, relation.collation_versions.empty() ? "" : ",",
                    column.name_sql, "=", result.Text(0, 7));
  }
  relation.key.push_back(std::move(column));
  return absl::OkStatus();
}

absl::StatusOr<Relation> Describe(pg::Connection& connection, const pg::Result& found,
                                  const std::vector<std::string>& key, const std::string& called) {
  if (found.rows.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "table ", called, " does not exist in this database",
        called.find('.') == std::string::npos ? " (an unqualified name means schema public)" : ""));
  }
  Relation relation;
  relation.oid = static_cast<pg::Oid>(found.Int(0, 0));
  relation.schema_sql = found.Text(0, 1);
  relation.qualifier_sql = found.Text(0, 2);
  relation.name_sql = absl::StrCat(relation.schema_sql, ".", relation.qualifier_sql);
  relation.kind = found.Text(0, 3);
  if (relation.kind != "r" && relation.kind != "p") {
    return absl::FailedPreconditionError(absl::StrCat(
        relation.name_sql, relation.kind == "f" ? " is a foreign table" : " is not a table",
        "; a migration works on tables of its own database"));
  }
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          KeyNames(connection, relation, key));
  for (const std::string& name : names) {
    DUNLIN_RETURN_IF_ERROR(AddKeyColumn(connection, name, relation));
  }
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result index,
      connection.Execute(sql::kKeyIndex, {absl::StrCat(relation.oid), pg::EncodeTextArray(names)}));
  relation.key_unique = index.Bool(0, 0);
  relation.key_indexed = index.Bool(0, 1);
  return relation;
}

}  // namespace

absl::StatusOr<Relation> DescribeTable(pg::Connection& connection, const std::string& table,
                                       const std::vector<std::string>& key) {
  DUNLIN_ASSIGN_OR_RETURN(std::vector<std::string> parts, ParseIdentifier(table));
  if (parts.size() == 1) parts.insert(parts.begin(), "public");
  std::vector<std::string> names;
  for (const std::string& column : key) {
    DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> parsed, ParseIdentifier(column));
    names.push_back(parsed.back());
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection.Execute(sql::kFindTable, {parts[0], parts[1]}));
  return Describe(connection, found, names, table);
}

absl::StatusOr<Relation> DescribeRelation(pg::Connection& connection, const std::string& name_sql,
                                          const std::vector<std::string>& key) {
  return DescribeTable(connection, name_sql, key);
}

absl::StatusOr<std::vector<std::string>> ListLeaves(pg::Connection& connection,
                                                    const Relation& relation) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(sql::kLeaves, {absl::StrCat(relation.oid)}));
  std::vector<std::string> leaves;
  for (size_t row = 0; row < result.rows.size(); ++row) {
    if (result.Text(row, 1) == "f") {
      return absl::FailedPreconditionError(absl::StrCat(
          "partition ", result.Text(row, 0), " of ", relation.name_sql,
          " is a foreign table; its rows would be changed outside this database's transactions"));
    }
    leaves.push_back(result.Text(row, 0));
  }
  return leaves;
}

std::string KeyList(const Relation& relation, const std::string& prefix) {
  return absl::StrJoin(relation.key, ", ", [&](std::string* out, const KeyColumn& column) {
    absl::StrAppend(out, prefix, column.name_sql);
  });
}

std::string DescribeKey(const Relation& relation) {
  return absl::StrCat(relation.name_sql, " (", KeyList(relation), ")");
}

std::string SearchPathFor(const std::string& schema_sql) {
  return schema_sql == "public" ? "public, pg_temp" : absl::StrCat(schema_sql, ", public, pg_temp");
}

std::string SearchPathOf(const std::string& name_sql) {
  const size_t dot = name_sql[0] == '"' ? name_sql.find("\".") + 1 : name_sql.find('.');
  return SearchPathFor(name_sql.substr(0, dot));
}

}  // namespace dunlin::agent
