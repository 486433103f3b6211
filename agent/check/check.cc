#include "agent/check/check.h"

#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/relation.h"
#include "agent/ledger/session.h"
#include "agent/ledger/statements.h"
#include "agent/work/step_sql.h"
#include "common/pg/connection.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

using Severity = Finding::Severity;

void CheckKey(const Relation& relation, std::vector<Finding>& findings) {
  const std::string where = absl::StrCat("table ", relation.name_sql);
  for (const KeyColumn& column : relation.key) {
    if (!column.not_null) {
      findings.push_back(Finding{Severity::kError, where,
                                 absl::StrCat("key column ", column.name_sql, " may be NULL"),
                                 "rows with a NULL key are in no range; choose a NOT NULL key"});
    }
    if (column.generated) {
      findings.push_back(Finding{Severity::kError, where,
                                 absl::StrCat("key column ", column.name_sql, " is generated"),
                                 "a statement that changes what it is made of moves rows into "
                                 "ranges to come, which changes them twice"});
    }
  }
  if (!relation.key_indexed && relation.kind == "r") {
    findings.push_back(Finding{
        Severity::kError, where,
        absl::StrCat("no index begins with the key ", DescribeKey(relation)),
        "each batch would read the whole table; add an index on the key, or choose another key"});
  }
}

absl::Status CheckTableFacts(pg::Connection& connection, const Relation& relation,
                             std::vector<Finding>& findings) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts,
                          connection.Execute(sql::kTableFacts, {absl::StrCat(relation.oid)}));
  const std::string where = absl::StrCat("table ", relation.name_sql);
  if (!facts.IsNull(0, 0)) {
    findings.push_back(
        Finding{Severity::kWarning, where,
                absl::StrCat("triggers act on every row of a batch: ", facts.Text(0, 0)),
                "make sure that they may run for old rows, and that they are quick"});
  }
  if (!facts.IsNull(0, 1)) {
    findings.push_back(Finding{Severity::kWarning, where,
                               absl::StrCat("rules rewrite statements on it: ", facts.Text(0, 1)),
                               "look at what they do to a batch"});
  }
  if (facts.Bool(0, 2)) {
    findings.push_back(Finding{
        Severity::kWarning, where, "row-level security is on",
        "agents set row_security = off: a policy that applies to their role raises an error"});
  }
  return absl::OkStatus();
}

// The plan with a batch bound must not read the whole table.
absl::Status CheckPlan(pg::Connection& connection, const Relation& relation,
                       const pg::Statement& statement, const std::string& name,
                       std::vector<Finding>& findings) {
  const absl::StatusOr<pg::Result> plan = connection.Execute(
      {.name = "", .sql = absl::StrCat("EXPLAIN (GENERIC_PLAN, COSTS off) ", statement.sql)});
  if (!plan.ok())
    return absl::OkStatus();  // before PostgreSQL 16 there is no such option: the prepare below
                              // judges
  const std::string scan = absl::StrCat("Seq Scan on ", relation.qualifier_sql);
  for (size_t row = 0; row < plan->rows.size(); ++row) {
    if (absl::StrContains(plan->Text(row, 0), scan)) {
      findings.push_back(Finding{
          Severity::kError, name,
          absl::StrCat("its plan reads the whole of ", relation.name_sql, " for every batch"),
          "AND :batch at the top of the WHERE that reads the table"});
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStep(pg::Connection& connection, const Definition& definition,
                       const StepDefinition& step, const BoundParameters& parameters,
                       std::vector<Finding>& findings) {
  std::vector<std::string> declared;
  for (const ParameterDefinition& parameter : definition.parameters)
    declared.push_back(parameter.name);
  absl::StatusOr<StepSql> sql = absl::InternalError("not made");
  std::optional<Relation> relation;
  if (step.is_once()) {
    sql = StepSql::MakeOnce(step, declared, parameters);
  } else {
    absl::StatusOr<Relation> described = DescribeTable(connection, step.table, step.key);
    if (!described.ok()) {
      findings.push_back(Finding{Severity::kError, absl::StrCat("table ", step.table),
                                 std::string(described.status().message()), ""});
      return absl::OkStatus();
    }
    relation = *std::move(described);
    CheckKey(*relation, findings);
    DUNLIN_RETURN_IF_ERROR(CheckTableFacts(connection, *relation, findings));
    DUNLIN_RETURN_IF_ERROR(connection
                               .Query("SELECT set_config('search_path', $1, false)",
                                      {SearchPathFor(relation->schema_sql)})
                               .status());
    sql = StepSql::Make(step, *relation, declared, parameters);
  }
  if (!sql.ok()) {
    findings.push_back(
        Finding{Severity::kError, "the file", std::string(sql.status().message()), ""});
    return absl::OkStatus();
  }
  for (const pg::Statement& statement : sql->AllStatements()) {
    const std::string name = absl::StrCat("statement ", statement.name.substr(2));
    const absl::StatusOr<pg::Result> described = connection.Describe(
        {.name = "", .sql = statement.sql, .parameter_types = statement.parameter_types});
    if (!described.ok()) {
      findings.push_back(
          Finding{Severity::kError, name,
                  absl::StrCat("the server does not take it: ", described.status().message()), ""});
      continue;
    }
    if (relation && absl::StrContains(statement.name, "batch") &&
        !absl::EndsWith(statement.name, "_first")) {
      DUNLIN_RETURN_IF_ERROR(CheckPlan(connection, *relation, statement, name, findings));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Finding>> CheckOnDatabase(const Secret& dsn,
                                                     const Definition& definition) {
  const SessionFactory sessions(dsn);
  DUNLIN_ASSIGN_OR_RETURN(const auto connection,
                          sessions.OpenForTask(absl::Seconds(5), "public, pg_temp", {}));
  std::vector<Finding> findings;
  std::map<std::string, std::string> values;
  for (const ParameterDefinition& parameter : definition.parameters) values[parameter.name] = "";
  DUNLIN_ASSIGN_OR_RETURN(const BoundParameters parameters,
                          ResolveParameters(*connection, definition, values, "now"));
  for (const StepDefinition& step : definition.steps) {
    DUNLIN_RETURN_IF_ERROR(CheckStep(*connection, definition, step, parameters, findings));
  }
  return findings;
}

}  // namespace dunlin::agent
