// Rows that were set aside: what they are, and what shall become of them.
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/pg/error.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

// RFC 4180: quoted when it must be.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos && !text.empty()) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

template <typename Texts>
std::string CsvLine(const Texts& texts) {
  return absl::StrJoin(texts, ",", [](std::string* out, const std::string& text) {
    absl::StrAppend(out, CsvField(text));
  });
}

std::string WhySetAside(const pb::QuarantinedRow& row) {
  return absl::StrCat(pg::DescribeSqlState(row.sqlstate()),
                      row.constraint().empty() ? "" : absl::StrCat(", ", row.constraint()));
}

std::string StateOf(const pb::QuarantinedRow& row) {
  if (row.state() == pb::QuarantinedRow::STATE_QUARANTINED) return "quarantined";
  return absl::StrCat("accepted by ", row.accepted_by(), ": ", row.accepted_reason());
}

template <typename Request, typename Method>
int Say(const GlobalOptions& global, const std::string& run, const std::string& reason,
        Method method, const char* what_happens) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  auto request = MakeCommand<Request>(global, reason);
  request.set_run(run);
  const absl::StatusOr<pb::Run> after = (connection->client.get()->*method)(request);
  if (!after.ok()) return Complain(after.status());
  PrintRun(global, *after);
  if (!global.json()) {
    std::cout << "  " << what_happens << ": dunlin watch " << after->migration() << Reach(global)
              << "\n";
    if (!global.database.empty())
      std::cout << "  it goes on when `dunlin local` runs: dunlin local FILE --database …\n";
  }
  return kDone;
}

}  // namespace

int RunQuarantineList(const GlobalOptions& global, const std::string& run) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto rows = connection->client->ListQuarantinedRows(run);
  if (!rows.ok()) return Complain(rows.status());
  if (global.json()) {
    json all = json::array();
    for (const pb::QuarantinedRow& row : *rows) all.push_back(QuarantinedRowJson(row));
    std::cout << json{{"quarantined", all}}.dump() << "\n";
    return kDone;
  }
  if (rows->empty()) {
    std::cout << "no row is set aside\n";
    return kDone;
  }
  std::vector<std::vector<std::string>> table = {
      {"TABLE", "KEY", "ROWS", "WHY", "TRIES", "LAST TRIED", "STATE"}};
  for (const pb::QuarantinedRow& row : *rows) {
    table.push_back({row.relation(),
                     absl::StrCat("(", absl::StrJoin(row.key_column(), ", "), ") = (",
                                  absl::StrJoin(row.key_text(), ", "), ")"),
                     absl::StrCat(row.rows()), WhySetAside(row), absl::StrCat(row.tries()),
                     TimeText(row.try_time()), StateOf(row)});
  }
  std::cout << Table(table);
  return kDone;
}

int RunQuarantineExport(const GlobalOptions& global, const std::string& run, int step) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto rows = connection->client->ListQuarantinedRows(run);
  if (!rows.ok()) return Complain(rows.status());
  std::string header, body;
  for (const pb::QuarantinedRow& row : *rows) {
    if (step > 0 && row.step() != step) continue;
    const std::string columns = CsvLine(row.key_column());
    if (!header.empty() && columns != header) {
      return Complain(absl::InvalidArgumentError(
          absl::StrCat("rows of several steps are set aside, with other key columns (", header,
                       " and ", columns, "); export one step at a time: --step N")));
    }
    header = columns;
    absl::StrAppend(&body, CsvLine(row.key_text()), "\n");
  }
  if (!header.empty()) std::cout << header << "\n" << body;
  return kDone;
}

int RunQuarantineRetry(const GlobalOptions& global, const std::string& run,
                       const std::string& reason) {
  return Say<pb::RetryQuarantinedRowsRequest>(global, run, reason, &Client::RetryQuarantinedRows,
                                              "They are tried again, each once");
}

int RunQuarantineAccept(const GlobalOptions& global, const std::string& run,
                        const std::string& reason) {
  return Say<pb::AcceptQuarantinedRowsRequest>(global, run, reason, &Client::AcceptQuarantinedRows,
                                               "They stay as they are, and the run goes on");
}

}  // namespace dunlin::cli
