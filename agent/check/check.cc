#include "agent/check/check.h"

#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "agent/check/plan_advice.h"
#include "agent/ledger/relation.h"
#include "agent/ledger/session.h"
#include "agent/ledger/statements.h"
#include "agent/task/sampling.h"
#include "agent/work/step_sql.h"
#include "common/migration/significant_tokens.h"
#include "common/migration/sql_lexer.h"
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
  if (!facts.IsNull(0, 3)) {
    findings.push_back(
        Finding{Severity::kWarning, where,
                absl::StrCat("foreign keys of other tables point here: ", facts.Text(0, 3)),
                "a DELETE or a change of what they refer to acts on those tables too (or fails)"});
  }
  if (!facts.IsNull(0, 4)) {
    findings.push_back(Finding{
        Severity::kWarning, where,
        absl::StrCat("publication ", facts.Text(0, 4), " is FOR ALL TABLES"),
        "it also publishes schema dunlin, and a subscriber without those tables stops: create the "
        "schema there too (`dunlin ledger sql`), or publish tables by name"});
  }
  if (!facts.IsNull(0, 5)) {
    findings.push_back(
        Finding{Severity::kError, where,
                absl::StrCat("it is published (", facts.Text(0, 5),
                             ") without a replica identity: UPDATE and DELETE are refused"),
                "ALTER TABLE … REPLICA IDENTITY"});
  }
  if (facts.Bool(0, 2)) {
    findings.push_back(Finding{
        Severity::kWarning, where, "row-level security is on",
        "agents set row_security = off: a policy that applies to their role raises an error"});
  }
  return absl::OkStatus();
}

// Bounds of a batch that this table could have; nullopt when it is empty.
struct SampleRange {
  OptionalKey lower, upper;
};
absl::StatusOr<std::optional<SampleRange>> FindSampleRange(pg::Connection& connection,
                                                           const Relation& relation,
                                                           const StepSql& sql) {
  constexpr int64_t kRows = 1'000;
  DUNLIN_ASSIGN_OR_RETURN(const KeyPlan keys, PlanKeySpace(connection, relation, Filter(), 1, 1));
  if (keys.uppers.empty()) return std::optional<SampleRange>();
  const KeyText& last = keys.uppers.back();
  SampleRange range;
  for (OptionalKey* end : {&range.lower, &range.upper}) {
    const pg::Command look_up = sql.BoundaryCommand(range.lower, last, kRows);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                            connection.Execute(look_up.statement, look_up.parameters));
    bool exact = false;
    DUNLIN_ASSIGN_OR_RETURN(const Boundary boundary, sql.DecodeBoundary(found, last, kRows, exact));
    *end = boundary.upper;
  }
  return std::optional<SampleRange>(range);
}

// Judges the plan of a statement with real bounds: it may not read a whole table for every batch.
// Small tables are scanned whatever the statement says, so scans are made expensive first: one that
// is left cannot use the key.
// `own`: the step's table and what is below it, as "schema.name".
absl::Status CheckPlan(pg::Connection& connection, const pg::Command& command,
                       const std::set<std::string>& own, const std::string& name, bool locks,
                       std::vector<Finding>& findings) {
  pg::Statement explain = command.statement;
  explain.name = "";
  explain.sql = absl::StrCat("EXPLAIN (FORMAT JSON, VERBOSE, COSTS off) ", explain.sql);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result plan, connection.Execute(explain, command.parameters));
  DUNLIN_ASSIGN_OR_RETURN(const PlanFacts facts, ReadPlan(plan.Text(0, 0)));
  for (const std::string& relation : facts.read_whole) {
    const bool is_own = own.contains(relation);
    findings.push_back(
        Finding{is_own ? Severity::kError : Severity::kWarning, name,
                absl::StrCat("its plan reads the whole of ", relation, " for every batch"),
                is_own ? "AND :batch at the top of the WHERE that reads the table"
                       : "that is fine when it is small; else join it by an index"});
  }
  for (const std::string& relation : facts.copied_from) {
    if (locks) break;
    findings.push_back(Finding{
        Severity::kWarning, name,
        absl::StrCat("it computes what it writes from rows of ", relation,
                     ", which the application may change at the same moment: an older value could "
                     "overwrite a newer one"),
        "add `lock: true`, or a list of SELECT … FOR NO KEY UPDATE of those rows"});
  }
  return absl::OkStatus();
}

// Functions that answer otherwise each time, found by name: a batch that is tried again, or undone,
// gets other values (trap 12).
absl::Status CheckFunctions(pg::Connection& connection, const SqlText& text,
                            const std::string& name, std::vector<Finding>& findings) {
  const LexedSql lexed = LexSql(text.sql, {});
  const SignificantTokens significant(lexed.tokens);
  std::vector<std::string> called;
  for (size_t i = 0; i < significant.size(); ++i) {
    if (significant[i].kind == SqlToken::Kind::kWord && significant[i + 1].IsMark('('))
      called.push_back(absl::AsciiStrToLower(significant[i].text));
  }
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result found,
      connection.Execute(sql::kVolatileFunctions, {pg::EncodeTextArray(called)}));
  for (size_t row = 0; row < found.rows.size(); ++row) {
    findings.push_back(Finding{
        Severity::kWarning, name,
        absl::StrCat(
            "it calls ", found.Text(row, 0), "(), which is volatile",
            found.IsNull(row, 1) ? "" : absl::StrCat(" and of extension ", found.Text(row, 1))),
        "its value differs from row to row and from try to try, and what it does outside the "
        "database is not undone with the batch"});
  }
  return absl::OkStatus();
}

absl::Status CheckPlans(pg::Connection& connection, const StepDefinition& step,
                        const Relation& relation, const StepSql& sql,
                        std::vector<Finding>& findings) {
  DUNLIN_ASSIGN_OR_RETURN(const std::optional<SampleRange> range,
                          FindSampleRange(connection, relation, sql));
  if (!range) {
    findings.push_back(Finding{Severity::kNote, absl::StrCat("table ", relation.name_sql),
                               "it is empty here: the plans were not judged",
                               "check against a database with rows in it"});
    return absl::OkStatus();
  }
  DUNLIN_RETURN_IF_ERROR(connection.Query("SET enable_seqscan = off").status());
  std::set<std::string> own;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tree,
                          connection.Execute(sql::kPlainNames, {absl::StrCat(relation.oid)}));
  for (size_t row = 0; row < tree.rows.size(); ++row) own.insert(tree.Text(row, 0));
  const bool locks = step.lock || !step.lock_statements.empty();
  for (const BoundStatement* statement : sql.BatchStatements(range->lower, *range->upper)) {
    DUNLIN_RETURN_IF_ERROR(CheckPlan(connection, sql.Bind(*statement, range->lower, range->upper),
                                     own, PlainStatementName(statement->statement.name), locks,
                                     findings));
  }
  if (const RangeStatement* verify = sql.verify_range()) {
    DUNLIN_RETURN_IF_ERROR(CheckPlan(
        connection, sql.Bind(verify->For(range->lower, *range->upper), range->lower, range->upper),
        own, "verify", true, findings));
  }
  return connection.Query("RESET enable_seqscan").status();
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
  bool prepares = true;
  for (const pg::Statement& statement : sql->AllStatements()) {
    const absl::StatusOr<pg::Result> described = connection.Describe(
        {.name = "", .sql = statement.sql, .parameter_types = statement.parameter_types});
    prepares = prepares && described.ok();
    if (!described.ok() && !absl::StrContains(statement.name.substr(2), "_")) {
      findings.push_back(
          Finding{Severity::kError, PlainStatementName(statement.name),
                  absl::StrCat("the server does not take it: ", described.status().message()), ""});
    }
  }
  const std::vector<SqlText>& texts = step.is_once() ? step.once : step.batch;
  for (size_t i = 0; i < texts.size(); ++i) {
    DUNLIN_RETURN_IF_ERROR(
        CheckFunctions(connection, texts[i], absl::StrCat("line ", texts[i].line), findings));
  }
  if (!relation || !prepares) return absl::OkStatus();
  return CheckPlans(connection, step, *relation, *sql, findings);
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
