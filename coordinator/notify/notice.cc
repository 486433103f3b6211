#include "coordinator/notify/notice.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include <nlohmann/json.hpp>

namespace dunlin::coordinator {
namespace {

using nlohmann::json;

std::string StateOf(const pb::Run& run) {
  return std::string(absl::StripPrefix(pb::Run::State_Name(run.state()), "STATE_"));
}

std::map<std::string, std::string> LabelsOf(const pb::Run& run) {
  return {run.labels().begin(), run.labels().end()};
}

// "20261101_x on orders: RUNNING → PAUSED: rows are set aside (team=payments)"
std::string TextOf(const pb::Run& run, const pb::RunEvent& event) {
  std::string text = absl::StrCat(run.migration(), " on ", run.target(), ": ");
  if (event.kind() == "run_state_changed") {
    absl::StrAppend(&text, event.old_value(), " → ", event.new_value());
  } else {
    absl::StrAppend(&text, absl::StrReplaceAll(event.kind(), {{"_", " "}}),
                    event.new_value().empty() ? "" : absl::StrCat(": ", event.new_value()));
  }
  if (!event.reason().empty()) absl::StrAppend(&text, ": ", event.reason());
  if (event.actor() != "dunlin") absl::StrAppend(&text, ", by ", event.actor());
  if (const auto labels = LabelsOf(run); !labels.empty())
    absl::StrAppend(&text, " (", absl::StrJoin(labels, ", ", absl::PairFormatter("=")), ")");
  return text;
}

json FieldsOf(const pb::Run& run, const pb::RunEvent& event) {
  const absl::Time at = absl::FromUnixSeconds(event.event_time().seconds());
  return {{"event", event.kind()},
          {"message", TextOf(run, event)},
          {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", at, absl::UTCTimeZone())},
          {"revision", event.revision()},
          {"run_id", run.run_id()},
          {"migration", run.migration()},
          {"target", run.target()},
          {"old_value", event.old_value()},
          {"new_value", event.new_value()},
          {"reason", event.reason()},
          {"actor", event.actor()},
          {"state", StateOf(run)},
          {"error", run.error()},
          {"rows_done", run.rows_done()},
          {"rows_total", run.rows_total()},
          {"rows_quarantined", run.rows_quarantined()},
          {"owner", run.owner()},
          {"labels", LabelsOf(run)}};
}

bool AtWork(const pb::Run& run) {
  return run.state() == pb::Run::STATE_PLANNING || run.state() == pb::Run::STATE_RUNNING ||
         run.state() == pb::Run::STATE_FINALIZING;
}

}  // namespace

bool IsNoticeable(const pb::RunEvent& event) {
  return event.kind() == "run_state_changed" || event.kind() == "rows_quarantined";
}

std::optional<pb::RunEvent> StallOf(const pb::Run& run, bool still) {
  const bool no_agent = run.state() == pb::Run::STATE_PENDING &&
                        absl::StartsWith(run.reason(), "no agent for target");
  const bool stuck =
      AtWork(run) && !absl::StrContains(run.throttled_reason(), "outside its windows");
  if (!still || (!no_agent && !stuck)) return std::nullopt;
  pb::RunEvent event;
  event.set_kind("run_stalled");
  event.set_actor("dunlin");
  event.set_reason(!run.reason().empty() ? run.reason()
                   : run.throttled_reason().empty()
                       ? "nothing has moved, and no reason is known; dunlin agents"
                       : run.throttled_reason());
  return event;
}

std::string ProgressMark(const pb::Run& run) {
  return absl::StrCat(StateOf(run), " ", run.step(), " ", run.batches_done(), " ",
                      run.rows_changed(), " ", run.shards().done(), " of ", run.shards().total());
}

absl::StatusOr<NoticeTemplate> ParseNoticeTemplate(const std::string& file,
                                                   const std::string& text) {
  return NoticeTemplate::Parse(file, text, FieldsOf({}, {}));
}

std::string NoticeBody(const pb::Run& run, const pb::RunEvent& event,
                       const std::optional<NoticeTemplate>& shape) {
  const json fields = FieldsOf(run, event);
  return shape ? shape->Fill(fields) : fields.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace dunlin::coordinator
