#include "agent/check/check.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include <nlohmann/json.hpp>

#include "common/dsn_source.h"
#include "common/migration/parser.h"
#include "common/migration/sql_template.h"

namespace dunlin::cli {
namespace {

using agent::Finding;

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
        findings.push_back({.severity = Finding::Severity::kError,
                            .where = absl::StrCat("line ", text.line),
                            .message = warning});
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

}  // namespace

int RunCheck(const GlobalOptions& global, const std::vector<std::string>& paths) {
  const auto files = ReadFiles(paths);
  if (!files.ok()) return Complain(files.status());
  int worst = kDone;
  for (size_t i = 0; i < files->size(); ++i) {
    const auto definition = ParseMigrationOrError(paths[i], (*files)[i].bytes);
    if (!definition.ok()) return Complain(definition.status());
    std::vector<Finding> findings = StaticFindings(*definition);
    if (!global.database.empty()) {
      const auto dsn = ReadDsn(global.database);
      if (!dsn.ok()) return Complain(dsn.status());
      const auto found = agent::CheckOnDatabase(*dsn, *definition);
      if (!found.ok()) return Complain(found.status());
      findings.insert(findings.end(), found->begin(), found->end());
    }
    bool bad = false;
    nlohmann::json list = nlohmann::json::array();
    for (const Finding& finding : findings) {
      bad = bad || finding.severity == Finding::Severity::kError;
      list.push_back({{"severity", NameOf(finding.severity)},
                      {"where", finding.where},
                      {"message", finding.message},
                      {"advice", finding.advice}});
      if (global.json()) continue;
      std::cout << paths[i] << ": " << NameOf(finding.severity) << ": " << finding.where << ": "
                << finding.message
                << (finding.advice.empty() ? "" : absl::StrCat("\n    ", finding.advice)) << "\n";
    }
    if (global.json())
      std::cout << nlohmann::json{{"file", paths[i]}, {"ok", !bad}, {"findings", list}}.dump()
                << "\n";
    if (!global.json() && !bad)
      std::cout << paths[i] << ": ok"
                << (global.database.empty()
                        ? " (the file alone; add --database DSN to check it against a database)"
                        : "")
                << "\n";
    if (bad) worst = kNeedsPerson;
  }
  return worst;
}

}  // namespace dunlin::cli
