#include "agent/check/check.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/check/plan_check.h"
#include "agent/check/table_check.h"
#include "agent/check/trial.h"
#include "agent/ledger/relation.h"
#include "agent/ledger/session.h"
#include "agent/work/step_sql.h"
#include "common/pg/connection.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

using Severity = Finding::Severity;

// How far a check goes: are the statements taken; what are their plans; what do batches do.
enum class Extent { kPrepare, kPlan, kAll };

class StepCheck {
 public:
  StepCheck(pg::Connection& connection, const Definition& definition, const StepDefinition& step,
            const BoundParameters& parameters, CheckReport& report)
      : connection_(connection),
        definition_(definition),
        step_(step),
        parameters_(parameters),
        report_(report) {
    for (const ParameterDefinition& parameter : definition.parameters)
      declared_.push_back(parameter.name);
  }

  absl::Status Run(Extent extent) {
    DUNLIN_ASSIGN_OR_RETURN(const bool made, MakeSql());
    if (!made) return absl::OkStatus();
    const bool prepares = Prepare();
    for (const SqlText& text : step_.is_once() ? step_.once : step_.batch) {
      DUNLIN_RETURN_IF_ERROR(
          CheckFunctions(connection_, text, absl::StrCat("line ", text.line), report_.findings));
    }
    if (relation_) {
      TableUse use;
      if (prepares && extent != Extent::kPrepare) {
        DUNLIN_RETURN_IF_ERROR(
            CheckPlans(connection_, step_, *relation_, *sql_, use, report_.findings));
      }
      DUNLIN_RETURN_IF_ERROR(CheckTable(connection_, *relation_, use, report_.findings));
    }
    // What is wrong by itself need not be seen to fail.
    const bool wrong =
        std::any_of(report_.findings.begin(), report_.findings.end(),
                    [](const Finding& finding) { return finding.severity == Severity::kError; });
    if (wrong || !prepares || extent != Extent::kAll) return absl::OkStatus();
    DUNLIN_ASSIGN_OR_RETURN(StepTrial trial, TryStep(connection_,
                                                     {.definition = definition_,
                                                      .step = step_,
                                                      .relation = relation_ ? &*relation_ : nullptr,
                                                      .sql = *sql_,
                                                      .declared = declared_,
                                                      .parameters = parameters_},
                                                     report_.findings));
    report_.trials.push_back(std::move(trial));
    return absl::OkStatus();
  }

 private:
  // False when a finding says why not.
  absl::StatusOr<bool> MakeSql() {
    absl::StatusOr<StepSql> sql = absl::InternalError("not made");
    if (step_.is_once()) {
      sql = StepSql::MakeOnce(step_, declared_, parameters_);
    } else {
      absl::StatusOr<Relation> described = DescribeTable(connection_, step_.table, step_.key);
      if (!described.ok()) {
        report_.findings.push_back({Severity::kError, absl::StrCat("table ", step_.table),
                                    std::string(described.status().message()), "", ""});
        return false;
      }
      relation_ = *std::move(described);
      DUNLIN_RETURN_IF_ERROR(connection_.Set("search_path", SearchPathFor(relation_->schema_sql)));
      sql = StepSql::Make(step_, *relation_, declared_, parameters_);
    }
    if (!sql.ok()) {
      report_.findings.push_back(
          {Severity::kError, "the file", std::string(sql.status().message()), "", ""});
      return false;
    }
    sql_ = *std::move(sql);
    return true;
  }

  bool Prepare() {
    bool prepares = true;
    for (const pg::Statement& statement : sql_->AllStatements()) {
      const absl::StatusOr<pg::Result> described = connection_.Describe(
          {.name = "", .sql = statement.sql, .parameter_types = statement.parameter_types});
      prepares = prepares && described.ok();
      if (!described.ok() && !absl::StrContains(statement.name.substr(2), "_")) {
        report_.findings.push_back(
            {Severity::kError, PlainStatementName(statement.name),
             absl::StrCat("the server does not take it: ", described.status().message()),
             "a run would fail at once", ""});
      }
    }
    return prepares;
  }

  pg::Connection& connection_;
  const Definition& definition_;
  const StepDefinition& step_;
  const BoundParameters& parameters_;
  CheckReport& report_;
  std::vector<std::string> declared_;
  std::optional<Relation> relation_;
  std::optional<StepSql> sql_;
};

void SortBySeverity(std::vector<Finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
}

}  // namespace

absl::StatusOr<CheckReport> CheckOnDatabase(const Secret& dsn, const Definition& definition,
                                            const std::map<std::string, std::string>& parameters) {
  const SessionFactory sessions(dsn);
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, sessions.OpenForCheck({}));
  CheckReport report;
  std::map<std::string, std::string> values = parameters;
  std::vector<std::string> missing;
  for (const ParameterDefinition& parameter : definition.parameters) {
    if (values.emplace(parameter.name, "").second) missing.push_back(parameter.name);
  }
  DUNLIN_ASSIGN_OR_RETURN(const BoundParameters bound,
                          ResolveParameters(*connection, definition, values, "now"));
  DUNLIN_RETURN_IF_ERROR(CheckGrants(*connection, report.findings));
  if (!missing.empty()) {
    report.findings.push_back({Severity::kNote, "parameters", "plans and batches were not judged",
                               absl::StrCat("no value is known for ", absl::StrJoin(missing, ", ")),
                               absl::StrCat("check with --set ", missing[0], "=VALUE")});
  }
  Extent extent = missing.empty() ? Extent::kAll : Extent::kPrepare;
  for (const StepDefinition& step : definition.steps) {
    // A session each: prepared statements of two steps have the same names.
    DUNLIN_ASSIGN_OR_RETURN(const auto own, sessions.OpenForCheck({}));
    DUNLIN_RETURN_IF_ERROR(StepCheck(*own, definition, step, bound, report).Run(extent));
    // A later step works on what the earlier ones have left.
    if (extent == Extent::kAll) extent = Extent::kPlan;
  }
  if (definition.steps.size() > 1) {
    report.findings.push_back({Severity::kNote, "steps", "only the first one was tried",
                               "the others work on what it leaves, and it was rolled back", ""});
  }
  SortBySeverity(report.findings);
  return report;
}

}  // namespace dunlin::agent
