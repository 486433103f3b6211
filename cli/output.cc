#include "cli/output.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cli/page.h"
#include <nlohmann/json.hpp>

#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

std::string WithoutPrefix(const std::string& name) {
  return std::string(absl::StripPrefix(name, "STATE_"));
}

json TimeJson(bool present, const google::protobuf::Timestamp& time) {
  if (!present) return nullptr;
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", TimeOf(time), absl::UTCTimeZone());
}

json KeyJson(const google::protobuf::RepeatedPtrField<std::string>& key) {
  if (key.empty()) return nullptr;
  return std::vector<std::string>(key.begin(), key.end());
}

}  // namespace

std::string StateName(v1::Run::State state) { return WithoutPrefix(v1::Run::State_Name(state)); }
std::string StateName(v1::Shard::State state) {
  return WithoutPrefix(v1::Shard::State_Name(state));
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string TimeText(const google::protobuf::Timestamp& time, bool present) {
  if (!present) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ", TimeOf(time), absl::UTCTimeZone());
}

double PercentOf(const v1::Run& run) {
  if (run.state() == v1::Run::STATE_FINISHED) return 100;
  if (run.rows_total() <= 0) return 0;
  const double percent =
      100.0 * static_cast<double>(run.rows_done()) / static_cast<double>(run.rows_total());
  // 100 % is said when it is done, not when the estimate is reached.
  return std::min(99.9, percent);
}

std::string Bar(double percent, int width) {
  static constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(percent / 100.0 * width * 8);
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  int used = eighths / 8;
  if (eighths % 8 != 0 && used < width) {
    bar += kParts[eighths % 8];
    ++used;
  }
  for (; used < width; ++used) bar += "░";
  return bar;
}

std::string Sparkline(const std::vector<double>& values, double full) {
  static constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string line;
  for (const double value : values) {
    const double part = full > 0 ? std::clamp(value / full, 0.0, 1.0) : 0;
    line += kLevels[static_cast<int>(part * 7.999)];
  }
  return line;
}

std::string ProgressLine(const v1::Run& run) {
  std::string line =
      absl::StrFormat("%-10s %5.1f %%  %s / %s rows", StateName(run.state()), PercentOf(run),
                      HumanCount(run.rows_done()), HumanCount(run.rows_total()));
  if (run.rows_per_second() >= 1)
    absl::StrAppend(&line, "  ", HumanCount(static_cast<int64_t>(run.rows_per_second())),
                    " rows/s");
  if (run.has_eta_seconds())
    absl::StrAppend(&line, "  ETA ", HumanDuration(absl::Seconds(run.eta_seconds())));
  if (run.shards().total() > 0)
    absl::StrAppend(&line, "  shards ", run.shards().done(), "/", run.shards().total());
  if (run.rows_quarantined() > 0) {
    absl::StrAppend(&line, "  ", HumanCount(run.rows_quarantined()), " quarantined",
                    run.rows_accepted() > 0
                        ? absl::StrCat(" (", HumanCount(run.rows_accepted()), " accepted)")
                        : "");
  }
  return line;
}

namespace {

bool WaitsForApproval(const v1::Run& run) {
  return run.state() == v1::Run::STATE_PENDING && run.kind() == v1::Run::KIND_APPLY &&
         run.critical() && run.approved_by().empty();
}

std::string NextVerb(const v1::Run& run) {
  if (WaitsForApproval(run)) return "approve";
  switch (run.state()) {
    case v1::Run::STATE_FINISHED:
      return run.kind() == v1::Run::KIND_UNDO ? "redo" : "";
    case v1::Run::STATE_PAUSED:
    case v1::Run::STATE_FAILED:
    case v1::Run::STATE_CANCELLED:
      break;
    default:
      return "watch";
  }
  const bool only_quarantine =
      run.rows_quarantined() > run.rows_accepted() && run.shards().done() == run.shards().total();
  return only_quarantine ? "quarantine retry" : "resume";
}

}  // namespace

std::string NextCommand(const v1::Run& run, const std::string& name) {
  const std::string verb = NextVerb(run);
  return verb.empty() ? "" : absl::StrCat(verb, " ", name.empty() ? run.migration() : name);
}

bool NeedsPerson(const v1::Run& run) {
  return run.state() == v1::Run::STATE_FAILED || WaitsForApproval(run) ||
         (run.state() == v1::Run::STATE_PAUSED && !run.error().empty());
}

std::string TitleOf(const v1::Run& run) {
  return run.kind() == v1::Run::KIND_UNDO ? absl::StrCat(run.migration(), " (undo)")
                                          : run.migration();
}

std::vector<std::string> LeftLines(const v1::Run& run) {
  if (run.rows_left() == 0) return {};
  constexpr int kShown = 10;
  std::vector<std::string> lines = {
      absl::StrCat(HumanCount(run.rows_left()), run.rows_left() == 1 ? " row was" : " rows were",
                   " changed since, and left as ", run.rows_left() == 1 ? "it is:" : "they are:")};
  for (int i = 0; i < std::min(kShown, run.some_left_size()); ++i)
    lines.push_back(absl::StrCat("left: ", run.some_left(i)));
  if (run.has_forget_time()) {
    lines.push_back("… their keys were dropped with the before-images (dunlin forget)");
  } else if (run.rows_left() > kShown) {
    lines.push_back(absl::StrCat(
        "… all of them, in the database: SELECT relation, key FROM dunlin.left_by_undo WHERE "
        "undo_run_id = '",
        run.run_id(), "'"));
  }
  return lines;
}

std::string WaitReason(const v1::Run& run) {
  if (!run.error().empty()) return run.error();
  if (!run.reason().empty()) return run.reason();
  return run.throttled_reason();
}

std::string SignalMark(const v1::Run::Signal& signal) {
  if (!signal.measured()) return "not measured";
  const std::string mark =
      signal.pressure() >= 1 ? "OVER" : absl::StrFormat("%.0f %%", signal.pressure() * 100);
  return absl::StrFormat("%12s", mark);
}

std::string LimitsLine(const v1::Run& run) {
  const v1::Run::Limits& limits = run.limits();
  const absl::Duration batch = absl::Seconds(limits.batch_time_duration().seconds()) +
                               absl::Nanoseconds(limits.batch_time_duration().nanos());
  return absl::StrCat(limits.concurrency(), limits.concurrency() == 1 ? " shard" : " shards",
                      " at once, batches of ", dunlin::FormatDuration(batch),
                      limits.rows_per_second() > 0
                          ? absl::StrCat(", ", HumanCount(limits.rows_per_second()), " rows/s")
                          : "");
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Cells(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&line, row[i]);
      if (i + 1 < row.size()) line.append(widths[i] - Cells(row[i]) + 2, ' ');
    }
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

json RunJson(const v1::Run& run) {
  json out = {
      {"run_id", run.run_id()},
      {"migration", run.migration()},
      {"target", run.target()},
      {"state", StateName(run.state())},
      {"reason", run.reason()},
      {"throttled_reason", run.throttled_reason()},
      {"rows_done", run.rows_done()},
      {"rows_total", run.rows_total()},
      {"rows_changed", run.rows_changed()},
      {"rows_quarantined", run.rows_quarantined()},
      {"rows_accepted", run.rows_accepted()},
      {"rows_per_second", run.rows_per_second()},
      {"eta_seconds", run.has_eta_seconds() ? json(run.eta_seconds()) : json(nullptr)},
      {"next_command", NextCommand(run).empty() ? "" : absl::StrCat("dunlin ", NextCommand(run))},
      {"state_time", TimeJson(run.has_state_time(), run.state_time())},
      {"shards",
       {{"total", run.shards().total()},
        {"done", run.shards().done()},
        {"leased", run.shards().leased()},
        {"pending", run.shards().pending()}}},
      {"error", run.error()},
      {"revision", run.revision()},
      {"step", run.step()},
      {"steps", run.steps()},
      {"batches_done", run.batches_done()},
      {"digest", run.digest()},
      {"kind", absl::AsciiStrToLower(absl::StripPrefix(v1::Run::Kind_Name(run.kind()), "KIND_"))},
      {"follows_run_id", run.follows_run_id()},
      {"rows_left", run.rows_left()},
      {"forget_time", TimeJson(run.has_forget_time(), run.forget_time())},
      {"followed_by_run_id", run.followed_by_run_id()},
      {"superseded_by", run.superseded_by()},
      {"critical", run.critical()},
      {"approved_by", run.approved_by()},
      {"operator", run.operator_name()},
      {"owner", run.owner()},
      {"description", run.description()},
      {"create_time", TimeJson(run.has_create_time(), run.create_time())},
      {"start_time", TimeJson(run.has_start_time(), run.start_time())},
      {"finish_time", TimeJson(run.has_finish_time(), run.finish_time())},
      {"concurrency_allowed", run.concurrency_allowed()},
      {"limits",
       {{"concurrency", run.limits().concurrency()},
        {"rows_per_second", run.limits().rows_per_second()}}},
      {"stop_after_rows", run.stop_after_rows()}};
  out["signals"] = json::array();
  for (const v1::Run::Signal& signal : run.signals()) {
    out["signals"].push_back(
        {{"signal", signal.signal()},
         {"subject", signal.subject()},
         {"text", signal.text()},
         {"pressure", signal.pressure()},
         {"measured", signal.measured()},
         {"since_time", TimeJson(signal.has_since_time(), signal.since_time())}});
  }
  out["some_left"] = std::vector<std::string>(run.some_left().begin(), run.some_left().end());
  out["labels"] = std::map<std::string, std::string>(run.labels().begin(), run.labels().end());
  out["parameters"] =
      std::map<std::string, std::string>(run.parameters().begin(), run.parameters().end());
  return out;
}

json ShardJson(const v1::Shard& shard) {
  return {{"shard_id", shard.shard_id()},
          {"step", shard.step()},
          {"relation", shard.relation()},
          {"lower", KeyJson(shard.lower_key_text())},
          {"upper", KeyJson(shard.upper_key_text())},
          {"cursor", KeyJson(shard.cursor_key_text())},
          {"state", StateName(shard.state())},
          {"epoch", shard.epoch()},
          {"batches_done", shard.batches_done()},
          {"rows_done", shard.rows_done()},
          {"rows_changed", shard.rows_changed()},
          {"rows_total", shard.rows_total()},
          {"agent", shard.agent_name()},
          {"waiting_reason", shard.waiting_reason()},
          {"revision", shard.revision()}};
}

json EventJson(const v1::RunEvent& event) {
  return {{"revision", event.revision()},
          {"time", TimeJson(event.has_event_time(), event.event_time())},
          {"kind", event.kind()},
          {"actor", event.actor()},
          {"reason", event.reason()},
          {"peer", event.peer()},
          {"shard_id", event.shard_id()},
          {"old_value", event.old_value()},
          {"new_value", event.new_value()}};
}

json QuarantinedRowJson(const v1::QuarantinedRow& row) {
  return {
      {"quarantine_id", row.quarantine_id()},
      {"state", WithoutPrefix(v1::QuarantinedRow::State_Name(row.state()))},
      {"step", row.step()},
      {"relation", row.relation()},
      {"key_columns", std::vector<std::string>(row.key_column().begin(), row.key_column().end())},
      {"key", KeyJson(row.key_text())},
      {"rows", row.rows()},
      {"sqlstate", row.sqlstate()},
      {"constraint", row.constraint()},
      {"table", row.table()},
      {"tries", row.tries()},
      {"accepted_by", row.accepted_by()},
      {"accepted_reason", row.accepted_reason()},
      {"fail_time", TimeJson(row.has_fail_time(), row.fail_time())},
      {"try_time", TimeJson(row.has_try_time(), row.try_time())}};
}

json AgentJson(const v1::Agent& agent) {
  return {{"agent_id", agent.agent_id()},
          {"name", agent.name()},
          {"version", agent.version()},
          {"targets", std::vector<std::string>(agent.targets().begin(), agent.targets().end())},
          {"slots", agent.slots()},
          {"slots_used", agent.slots_used()},
          {"last_heartbeat_time",
           TimeJson(agent.has_last_heartbeat_time(), agent.last_heartbeat_time())},
          {"connected", agent.connected()}};
}

}  // namespace dunlin::cli
