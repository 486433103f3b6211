// `dunlin throttle`.
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

absl::Status Wrong(const char* option, absl::string_view expected, const std::string& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(option, " takes ", expected, ", not '", found, "'"));
}

absl::Status SetDuration(const char* option, const std::string& text,
                         google::protobuf::Duration* out) {
  const auto duration = ParseDuration(text);
  if (!duration.ok()) return Wrong(option, "a duration such as 50ms or 90m", text);
  out->set_seconds(absl::ToInt64Seconds(*duration));
  out->set_nanos(static_cast<int>(
      absl::ToInt64Nanoseconds(*duration - absl::Seconds(absl::ToInt64Seconds(*duration)))));
  return absl::OkStatus();
}

absl::Status Fill(const ThrottleOptions& options, pb::ThrottleRunRequest& request) {
  request.set_run(options.run);
  if (!options.concurrency.empty()) {
    int32_t number = 0;
    if (!absl::SimpleAtoi(options.concurrency, &number))
      return Wrong("--concurrency", "a number", options.concurrency);
    request.set_concurrency(number);
  }
  if (!options.rows_per_second.empty()) {
    int64_t number = 0;
    if (options.rows_per_second != "none" && !absl::SimpleAtoi(options.rows_per_second, &number))
      return Wrong("--rows-per-second", "a number, or none", options.rows_per_second);
    request.set_rows_per_second(number);
  }
  if (!options.ratio.empty()) {
    double number = 0;
    if (!absl::SimpleAtod(options.ratio, &number))
      return Wrong("--ratio", "a number over 0, up to 1", options.ratio);
    request.set_ratio(number);
  }
  absl::Status status;
  if (!options.batch_time.empty())
    status = SetDuration("--batch-time", options.batch_time, request.mutable_batch_time_duration());
  if (status.ok() && !options.lasts.empty())
    status = SetDuration("--for", options.lasts, request.mutable_for_duration());
  return status;
}

}  // namespace

int RunThrottle(const GlobalOptions& global, const ThrottleOptions& options) {
  auto request = MakeCommand<pb::ThrottleRunRequest>(global, options.reason);
  if (const absl::Status filled = Fill(options, request); !filled.ok()) return Complain(filled);
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto runs = connection->client->ThrottleRun(request);
  if (!runs.ok()) return Complain(runs.status());
  if (global.json()) {
    nlohmann::json out = {{"runs", nlohmann::json::array()}};
    for (const pb::Run& run : *runs) out["runs"].push_back(RunJson(run));
    std::cout << out.dump() << "\n";
    return kDone;
  }
  for (const pb::Run& run : *runs) {
    std::cout << run.migration() << " on " << run.target() << ": " << LimitsLine(run)
              << (options.lasts.empty() ? "" : absl::StrCat(", for ", options.lasts)) << "\n";
  }
  if (runs->empty()) std::cout << "no run is live\n";
  return kDone;
}

}  // namespace dunlin::cli
