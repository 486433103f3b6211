#include "agent/check/check.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include <nlohmann/json.hpp>

#include "common/dsn_source.h"
#include "common/migration/parser.h"
#include "common/migration/sql_template.h"
#include "common/status_macros.h"
#include "common/text/bytes.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using agent::CheckReport;
using agent::Estimate;
using agent::Finding;
using agent::RowChange;
using agent::StepTrial;
using nlohmann::json;

// A value on a terminal; all of it is in the JSON.
constexpr size_t kValueBytesShown = 60;

std::vector<Finding> StaticFindings(const Definition& definition) {
  std::vector<Finding> findings;
  std::vector<std::string> names;
  for (const ParameterDefinition& parameter : definition.parameters)
    names.push_back(parameter.name);
  for (const StepDefinition& step : definition.steps) {
    for (const SqlText& text : step.batch) {
      const auto sql = SqlTemplate::Parse(text.sql, names);
      if (!sql.ok()) continue;  // the parser has said so
      for (const std::string& warning : sql->Warnings()) {
        findings.push_back(
            {.severity = Finding::Severity::kError,
             .where = absl::StrCat("line ", text.line),
             .message = warning,
             .why = "rows outside of the batch would be changed, once for every "
                    "batch",
             .advice = "AND :batch at the top of the WHERE, with OR in parentheses"});
      }
    }
  }
  return findings;
}

const char* NameOf(Finding::Severity severity) {
  switch (severity) {
    case Finding::Severity::kError:
      return "error";
    case Finding::Severity::kWarning:
      return "warning";
    case Finding::Severity::kNote:
      return "note";
  }
  return "note";
}

const char* NameOf(StepTrial::Again again) {
  switch (again) {
    case StepTrial::Again::kUnknown:
      return "unknown";
    case StepTrial::Again::kNothing:
      return "nothing";
    case StepTrial::Again::kChanges:
      return "changes";
  }
  return "unknown";
}

const char* SentenceOf(StepTrial::Again again) {
  switch (again) {
    case StepTrial::Again::kUnknown:
      return "whether a second run would change more cannot be told from it";
    case StepTrial::Again::kNothing:
      return "run a second time it changed nothing more";
    case StepTrial::Again::kChanges:
      return "run a second time it changed rows again: it is not idempotent";
  }
  return "";
}

// Three digits of it say enough.
std::string Rough(absl::Duration duration) {
  for (const absl::Duration unit : {absl::Hours(1), absl::Minutes(1), absl::Seconds(1)}) {
    if (duration >= 10 * unit) return dunlin::FormatDuration(absl::Trunc(duration, unit));
  }
  return dunlin::FormatDuration(
      std::max(absl::Milliseconds(1), absl::Trunc(duration, absl::Milliseconds(1))));
}

std::string Cut(const std::string& value) {
  if (value.size() <= kValueBytesShown) return value;
  size_t size = kValueBytesShown;
  while (size > 0 && (static_cast<unsigned char>(value[size]) & 0xc0) == 0x80) --size;
  return value.substr(0, size) + "…";
}

std::string Line(const RowChange& change) {
  if (change.after.empty()) return absl::StrCat(change.key, "  is gone");
  std::vector<std::string> parts;
  for (const auto& [column, before] : change.before) {
    const auto after = change.after.find(column);
    parts.push_back(absl::StrCat(column, ": ", Cut(before), " → ",
                                 after == change.after.end() ? "?" : Cut(after->second)));
  }
  return absl::StrCat(change.key, "  ", absl::StrJoin(parts, ", "));
}

void Print(const std::string& path, const Finding& finding) {
  std::cout << path << ": " << NameOf(finding.severity) << ": " << finding.where << ": "
            << finding.message << "\n";
  if (!finding.why.empty()) std::cout << "    why: " << finding.why << "\n";
  if (!finding.advice.empty()) std::cout << "    do: " << finding.advice << "\n";
}

void Print(const Estimate& estimate, int concurrency) {
  std::cout << "  All of it: about " << estimate.rows << " rows, in batches of about "
            << estimate.batch_rows << " rows and " << Rough(estimate.batch_time) << "; "
            << Rough(estimate.alone) << " one shard at a time";
  if (concurrency > 1)
    std::cout << ", " << Rough(estimate.at_best) << " at best with " << concurrency;
  std::cout << "\n    disk: up to " << HumanBytes(static_cast<double>(estimate.wal_bytes))
            << " of WAL, kept as long as archive and replicas need it; up to "
            << HumanBytes(static_cast<double>(estimate.dead_bytes))
            << " of old row versions until vacuum has been there\n    before-images of what "
               "changes: about "
            << HumanBytes(static_cast<double>(estimate.before_image_bytes)) << "\n";
}

void Print(const StepTrial& trial, int concurrency, bool show_rows) {
  std::cout << "  "
            << (trial.table.empty() ? "The statements" : absl::StrCat("A batch of ", trial.table))
            << ", tried and rolled back: ";
  if (!trial.table.empty()) std::cout << trial.rows << " rows, ";
  std::cout << trial.rows_changed << " changed\n";
  for (const RowChange& change : trial.changes) {
    if (show_rows) std::cout << "    " << Line(change) << "\n";
  }
  if (!show_rows && !trial.changes.empty())
    std::cout << "    (before and after of rows: on a terminal, or with --show-rows)\n";
  for (const std::string& effect : trial.effects) std::cout << "    " << effect << "\n";
  if (trial.rows_changed > 0) std::cout << "    " << SentenceOf(trial.again) << "\n";
  if (trial.estimate) Print(*trial.estimate, concurrency);
}

json Json(const StepTrial& trial, bool show_rows) {
  json out = {{"table", trial.table},
              {"rows", trial.rows},
              {"rows_changed", trial.rows_changed},
              {"effects", trial.effects},
              {"second_run", NameOf(trial.again)}};
  if (show_rows) {
    json changes = json::array();
    for (const RowChange& change : trial.changes) {
      changes.push_back({{"key", change.key}, {"before", change.before}, {"after", change.after}});
    }
    out["changes"] = changes;
  }
  if (trial.estimate) {
    const Estimate& estimate = *trial.estimate;
    out["estimate"] = {{"rows", estimate.rows},
                       {"batch_rows", estimate.batch_rows},
                       {"batch_seconds", absl::ToDoubleSeconds(estimate.batch_time)},
                       {"rows_per_second", estimate.rows_per_second},
                       {"seconds_alone", absl::ToDoubleSeconds(estimate.alone)},
                       {"seconds_at_best", absl::ToDoubleSeconds(estimate.at_best)},
                       {"wal_bytes", estimate.wal_bytes},
                       {"dead_bytes", estimate.dead_bytes},
                       {"before_image_bytes", estimate.before_image_bytes}};
  }
  return out;
}

void PrintReport(const GlobalOptions& global, const std::string& path, const Definition& definition,
                 const CheckReport& report, bool bad, bool show_rows) {
  if (global.json()) {
    json findings = json::array(), trials = json::array();
    for (const Finding& finding : report.findings) {
      findings.push_back({{"severity", NameOf(finding.severity)},
                          {"where", finding.where},
                          {"message", finding.message},
                          {"why", finding.why},
                          {"advice", finding.advice}});
    }
    for (const StepTrial& trial : report.trials) trials.push_back(Json(trial, show_rows));
    std::cout
        << json{{"file", path}, {"ok", !bad}, {"findings", findings}, {"trials", trials}}.dump()
        << std::endl;
    return;
  }
  for (const Finding& finding : report.findings) Print(path, finding);
  if (!bad) {
    std::cout << path << ": ok"
              << (global.database.empty()
                      ? " (the file alone; add --database DSN to check it against a database)"
                      : "")
              << "\n";
  }
  for (const StepTrial& trial : report.trials)
    Print(trial, definition.limits.concurrency, show_rows);
  std::cout << std::flush;
}

absl::StatusOr<CheckReport> Check(const GlobalOptions& global, const Definition& definition,
                                  const std::map<std::string, std::string>& parameters) {
  CheckReport report;
  if (!global.database.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(const Secret dsn, ReadDsn(global.database));
    DUNLIN_ASSIGN_OR_RETURN(report, agent::CheckOnDatabase(dsn, definition, parameters));
  }
  const std::vector<Finding> findings = StaticFindings(definition);
  report.findings.insert(report.findings.begin(), findings.begin(), findings.end());
  return report;
}

}  // namespace

int RunCheck(const GlobalOptions& global, const CheckOptions& options) {
  const auto files = ReadFiles(options.files);
  if (!files.ok()) return Complain(files.status());
  // Values of rows belong to who asks, not into the log of a pipeline.
  const bool show_rows = options.show_rows || (!global.json() && isatty(STDOUT_FILENO) != 0);
  int worst = kDone;
  for (size_t i = 0; i < files->size(); ++i) {
    const Definition& definition = (*files)[i].definition;
    const auto report = Check(global, definition, options.parameters);
    if (!report.ok()) return Complain(report.status());
    const bool bad =
        std::any_of(report->findings.begin(), report->findings.end(),
                    [](const Finding& one) { return one.severity == Finding::Severity::kError; });
    PrintReport(global, options.files[i], definition, *report, bad, show_rows);
    if (bad) worst = kNeedsPerson;
  }
  return worst;
}

}  // namespace dunlin::cli
