#include "agent/check/table_check.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/check/statements.h"
#include "agent/ledger/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

using Severity = Finding::Severity;

// A scan of so few pages for a row is not worth a word.
constexpr int64_t kSmallTablePages = 100;
// How well heap order follows the key: under it every row of a batch lies on a page of its own.
constexpr double kRandomOrder = 0.3;

void CheckKey(const Relation& relation, std::vector<Finding>& findings) {
  const std::string where = absl::StrCat("table ", relation.name_sql);
  for (const KeyColumn& column : relation.key) {
    if (!column.not_null) {
      findings.push_back({Severity::kError, where,
                          absl::StrCat("key column ", column.name_sql, " may be NULL"),
                          "rows with a NULL key are in no range: they would never be done",
                          "choose a NOT NULL key with `key: [column]`"});
    }
    if (column.generated) {
      findings.push_back({Severity::kError, where,
                          absl::StrCat("key column ", column.name_sql, " is generated"),
                          "a statement that changes what it is made of moves rows into ranges to "
                          "come, which changes them twice",
                          "choose a key that nothing changes with `key: [column]`"});
    }
  }
  if (!relation.key_indexed && relation.kind == "r") {
    findings.push_back(
        {Severity::kError, where,
         absl::StrCat("no index begins with the key ", DescribeKey(relation)),
         "every batch would read the whole table",
         "CREATE INDEX CONCURRENTLY on the key, or choose another key with `key: [column]`"});
  }
}

void CheckPublications(const pg::Result& facts, const std::string& where, const TableUse& use,
                       std::vector<Finding>& findings) {
  if (!facts.IsNull(0, 4)) {
    findings.push_back(
        {Severity::kWarning, where,
         absl::StrCat("publication ", facts.Text(0, 4), " is FOR ALL TABLES"),
         "it also publishes schema dunlin, and a subscriber without those tables stops",
         "create the schema on the subscriber too (`dunlin ledger sql`), or publish tables by "
         "name"});
  }
  if (!facts.IsNull(0, 5) && (use.updates || use.deletes)) {
    findings.push_back(
        {Severity::kError, where,
         absl::StrCat("it is published (", facts.Text(0, 5), ") without a replica identity"),
         "the server refuses every UPDATE and DELETE of it",
         "ALTER TABLE … REPLICA IDENTITY USING INDEX …, or FULL"});
  }
}

absl::Status CheckForeignKeys(pg::Connection& connection, const Relation& relation,
                              const pg::Result& facts, const TableUse& use,
                              std::vector<Finding>& findings) {
  const std::string where = absl::StrCat("table ", relation.name_sql);
  if (facts.IsNull(0, 3)) return absl::OkStatus();
  findings.push_back(
      {Severity::kNote, where,
       absl::StrCat("foreign keys of other tables point here: ", facts.Text(0, 3)),
       "a DELETE, or a change of what they refer to, acts on those tables too, or fails", ""});
  if (!use.deletes) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result bare, connection.Execute(sql::kForeignKeysWithoutIndex,
                                                                    {absl::StrCat(relation.oid)}));
  for (size_t row = 0; row < bare.rows.size(); ++row) {
    const bool small = bare.Int(row, 2) <= kSmallTablePages;
    findings.push_back(
        {small ? Severity::kNote : Severity::kError, where,
         absl::StrCat("foreign key ", bare.Text(row, 0), " has no index on ", bare.Text(row, 1)),
         "the server looks for rows that refer to it by reading that whole table, once for every "
         "row that is deleted",
         absl::StrCat("CREATE INDEX CONCURRENTLY ON ", bare.Text(row, 1), ", before it starts")});
  }
  return absl::OkStatus();
}

absl::Status CheckHeapOrder(pg::Connection& connection, const Relation& relation,
                            std::vector<Finding>& findings) {
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result order,
      connection.Execute(sql::kHeapOrder, {absl::StrCat(relation.oid), relation.key[0].name}));
  if (order.rows.empty() || order.IsNull(0, 0)) return absl::OkStatus();
  double correlation = 0;
  if (!absl::SimpleAtod(order.Text(0, 0), &correlation) || std::abs(correlation) >= kRandomOrder)
    return absl::OkStatus();
  const bool in_memory = order.Bool(0, 1);
  findings.push_back(
      {in_memory ? Severity::kNote : Severity::kWarning, absl::StrCat("table ", relation.name_sql),
       absl::StrFormat("rows lie on disk in another order than that of the key (correlation %.2f)",
                       correlation),
       in_memory ? "each batch touches as many pages as it has rows"
                 : "each batch touches as many pages as it has rows, and the table is larger than "
                   "shared_buffers: about three times the time, and most of the WAL is whole pages",
       in_memory ? ""
                 : "choose a key that follows the order of insertion, such as a creation time with "
                   "an index: `key: [created_at, id]`"});
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTable(pg::Connection& connection, const Relation& relation, const TableUse& use,
                        std::vector<Finding>& findings) {
  CheckKey(relation, findings);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts,
                          connection.Execute(sql::kTableFacts, {absl::StrCat(relation.oid)}));
  const std::string where = absl::StrCat("table ", relation.name_sql);
  if (!facts.IsNull(0, 0)) {
    findings.push_back({Severity::kNote, where,
                        absl::StrCat("triggers act on every row of a batch: ", facts.Text(0, 0)),
                        "they do for old rows what they do for new ones: mails, counters, audit",
                        "make sure that they may, and that they are quick"});
  }
  if (!facts.IsNull(0, 1)) {
    findings.push_back({Severity::kNote, where,
                        absl::StrCat("rules rewrite statements on it: ", facts.Text(0, 1)),
                        "a batch does what the rules say", "look at what they do to a batch"});
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result hidden,
                          connection.Execute(sql::kRowSecurity, {absl::StrCat(relation.oid)}));
  if (hidden.Bool(0, 0)) {
    findings.push_back(
        {Severity::kError, where,
         absl::StrCat("row-level security hides rows of it from role ", hidden.Text(0, 1)),
         "agents set row_security = off, so that no row is passed over unseen: the "
         "server then refuses their statements",
         absl::StrCat("ALTER ROLE ", hidden.Text(0, 1),
                      " BYPASSRLS, or let the agents be the table's owner")});
  }
  CheckPublications(facts, where, use, findings);
  DUNLIN_RETURN_IF_ERROR(CheckForeignKeys(connection, relation, facts, use, findings));
  return CheckHeapOrder(connection, relation, findings);
}

absl::Status CheckGrants(pg::Connection& connection, std::vector<Finding>& findings) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result grants, connection.Execute(sql::kLedgerGrants));
  const std::string& role = grants.Text(0, 0);
  if (!grants.Bool(0, 1)) {
    findings.push_back(
        {Severity::kWarning, absl::StrCat("role ", role),
         "it may neither use schema dunlin nor create it",
         "Dunlin keeps its ledger there; without it nothing starts (if agents connect as another "
         "role, check as that one)",
         absl::StrCat("dunlin ledger sql --role ", role, " | psql, as the database's owner")});
  }
  if (!grants.Bool(0, 2)) {
    findings.push_back({Severity::kNote, absl::StrCat("role ", role),
                        "it is no member of pg_monitor",
                        "what others do is not visible to it: replicas, long transactions, "
                        "sessions that wait",
                        absl::StrCat("GRANT pg_monitor TO ", role)});
  }
  return absl::OkStatus();
}

}  // namespace dunlin::agent
