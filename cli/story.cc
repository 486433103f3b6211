#include "cli/story.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/output.h"

#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr size_t kFirstEvents = 3;
constexpr size_t kLastEvents = 12;
constexpr size_t kMaxHolders = 4;

// gRPC's "ipv4:10.0.0.7:41234" as people write it.
std::string PeerText(absl::string_view peer) {
  for (const absl::string_view scheme : {"ipv4:", "ipv6:"}) {
    if (absl::ConsumePrefix(&peer, scheme)) break;
  }
  return absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
}

std::string WhoText(const v1::RunEvent& event) {
  return event.peer().empty() ? event.actor()
                              : absl::StrCat(event.actor(), " from ", PeerText(event.peer()));
}

std::string ChangeText(const v1::RunEvent& event) {
  return event.old_value().empty() ? event.new_value()
                                   : absl::StrCat(event.old_value(), " → ", event.new_value());
}

// "RUNNING → PAUSING: checkout is slow", "limits changed: 4 shards → 1 shard: sale until noon".
std::string WhatText(const v1::RunEvent& event) {
  std::vector<std::string> parts;
  if (event.kind() != "run_state_changed")
    parts.push_back(absl::StrReplaceAll(event.kind(), {{"_", " "}}));
  if (const std::string change = ChangeText(event); !change.empty()) parts.push_back(change);
  if (!event.reason().empty()) parts.push_back(event.reason());
  return absl::StrJoin(parts, ": ");
}

void PutWhatItIs(const Story& story, Page& page) {
  const v1::Run& run = story.run;
  page.Heading(absl::StrCat(TitleOf(run), " on ", run.target()));
  if (!run.description().empty()) page.Line(2, run.description());
  page.Blank();
  std::string state = StateName(run.state());
  if (run.has_state_time())
    absl::StrAppend(&state, " ", SinceText(TimeOf(run.state_time()), story.now));
  page.Entry("state", state);
  if (const std::string reason = WaitReason(run); !reason.empty())
    page.Entry(run.error().empty() ? "because" : "error", reason);
  if (const std::string next = NextCommand(run, story.name); !next.empty())
    page.Command(2, "next        ", absl::StrCat("dunlin ", next, story.reach));
  if (!run.superseded_by().empty())
    page.Entry("superseded", absl::StrCat("by ", run.superseded_by()));
  if (!run.followed_by_run_id().empty())
    page.Entry("followed by", absl::StrCat("run ", run.followed_by_run_id()));
  if (run.kind() == v1::Run::KIND_BASELINE) page.Entry("baseline", "recorded as done elsewhere");
  if (!run.follows_run_id().empty()) {
    page.Entry(run.kind() == v1::Run::KIND_UNDO ? "takes back" : "follows",
               absl::StrCat("run ", run.follows_run_id()));
  }
}

void PutWhoStartedIt(const Story& story, Page& page) {
  const v1::Run& run = story.run;
  page.Entry("run", run.run_id());
  page.Command(2, "digest      ", run.digest());
  const auto created =
      std::find_if(story.events.begin(), story.events.end(),
                   [](const v1::RunEvent& event) { return event.kind() == "run_created"; });
  std::string started = absl::StrCat("by ", run.operator_name());
  if (created != story.events.end()) started = absl::StrCat("by ", WhoText(*created));
  absl::StrAppend(&started, ", ", TimeText(run.create_time()));
  if (created != story.events.end() && !created->reason().empty())
    absl::StrAppend(&started, ": ", created->reason());
  page.Entry("started", started);
  if (run.has_finish_time()) {
    page.Entry("ended", absl::StrCat(TimeText(run.finish_time()), ", after ",
                                     HumanDuration(absl::Trunc(
                                         TimeOf(run.finish_time()) - TimeOf(run.create_time()),
                                         absl::Seconds(1)))));
  }
  if (run.critical())
    page.Entry("critical", run.approved_by().empty()
                               ? "not approved yet"
                               : absl::StrCat("approved by ", run.approved_by()));
  if (!run.owner().empty()) page.Entry("owner", run.owner());
  for (const auto& [label, values] :
       {std::pair("labels", &run.labels()), std::pair("parameters", &run.parameters())}) {
    const std::map<std::string, std::string> sorted(values->begin(), values->end());
    if (!sorted.empty()) page.Entry(label, absl::StrJoin(sorted, ", ", absl::PairFormatter("=")));
  }
}

// "host:1 holds 2, host:2 holds 1"
std::string HoldersText(const std::vector<v1::Shard>& shards) {
  std::map<std::string, int> held;
  for (const v1::Shard& shard : shards) {
    if (shard.state() == v1::Shard::STATE_LEASED) ++held[shard.agent_name()];
  }
  std::vector<std::string> parts;
  for (const auto& [agent, count] : held) {
    if (parts.size() < kMaxHolders) parts.push_back(absl::StrCat(agent, " holds ", count));
  }
  if (held.size() > kMaxHolders) {
    const size_t more = held.size() - kMaxHolders;
    parts.push_back(absl::StrCat(more, more == 1 ? " more agent" : " more agents"));
  }
  return absl::StrJoin(parts, ", ");
}

void PutHowFar(const Story& story, Page& page) {
  const v1::Run& run = story.run;
  std::string progress = absl::StrFormat("%.1f %%, %s of %s rows", PercentOf(run),
                                         HumanCount(run.rows_done()), HumanCount(run.rows_total()));
  if (run.rows_per_second() >= 1)
    absl::StrAppend(&progress, ", ", HumanCount(static_cast<int64_t>(run.rows_per_second())),
                    " rows/s");
  if (run.has_eta_seconds())
    absl::StrAppend(&progress, ", ETA ", HumanDuration(absl::Seconds(run.eta_seconds())));
  absl::StrAppend(&progress, "; ", HumanCount(run.rows_changed()), " changed in ",
                  HumanCount(run.batches_done()), " batches");
  if (run.steps() > 1) absl::StrAppend(&progress, "; step ", run.step(), " of ", run.steps());
  page.Entry("progress", progress);
  std::string shards = absl::StrCat(run.shards().done(), " of ", run.shards().total(), " done, ",
                                    run.shards().leased(), " in work");
  if (const std::string holders = HoldersText(story.shards); !holders.empty())
    absl::StrAppend(&shards, " (", holders, ")");
  page.Entry("shards", shards);
  for (const std::string& line : LeftLines(run)) page.Line(2, line);
  if (run.rows_quarantined() > 0) {
    page.Entry("quarantine", absl::StrCat(HumanCount(run.rows_quarantined()), " rows set aside, ",
                                          HumanCount(run.rows_accepted()),
                                          " of them accepted; see them: dunlin "
                                          "quarantine list ",
                                          story.name, story.reach));
  }
  std::string limits = LimitsLine(run);
  if (run.state() == v1::Run::STATE_RUNNING)
    absl::StrAppend(&limits, "; ", run.concurrency_allowed(), " allowed now");
  page.Entry("limits", limits);
}

void PutSignals(const Story& story, Page& page) {
  if (story.run.signals().empty()) return;
  page.Blank();
  page.Heading("The target, by how near each signal is to its limit");
  for (const v1::Run::Signal& signal : story.run.signals()) {
    page.Line(
        2, absl::StrCat(SignalMark(signal), "  ", signal.text(),
                        signal.has_since_time()
                            ? absl::StrCat(", ", SinceText(TimeOf(signal.since_time()), story.now))
                            : ""));
  }
}

void PutWhatHappened(const Story& story, Page& page) {
  page.Blank();
  page.Heading("What happened (UTC)");
  const size_t all = story.events.size();
  for (size_t i = 0; i < all; ++i) {
    if (all > kFirstEvents + kLastEvents && i == kFirstEvents) {
      i = all - kLastEvents;
      page.Line(2, absl::StrCat("… ", i - kFirstEvents, " more: dunlin events ", story.name,
                                story.reach));
    }
    const v1::RunEvent& event = story.events[i];
    page.Line(
        2, absl::StrCat(TimeText(event.event_time()), "  ", event.actor(), "  ", WhatText(event)));
  }
}

}  // namespace

std::string StoryText(const Story& story, PageStyle style) {
  Page page(style);
  PutWhatItIs(story, page);
  PutHowFar(story, page);
  PutWhoStartedIt(story, page);
  PutSignals(story, page);
  PutWhatHappened(story, page);
  return page.text();
}

std::string EventsText(const std::vector<v1::RunEvent>& events, PageStyle style) {
  std::vector<std::vector<std::string>> rows = {
      {"REVISION", "TIME", "WHO", "WHAT", "FROM → TO", "WHY"}};
  for (const v1::RunEvent& event : events) {
    rows.push_back({absl::StrCat(event.revision()), TimeText(event.event_time()), WhoText(event),
                    event.kind(), ChangeText(event), event.reason()});
  }
  std::string table = Table(rows);
  size_t widest = 0;
  for (const absl::string_view line : absl::StrSplit(table, '\n'))
    widest = std::max(widest, Cells(line));
  if (style.width == 0 || widest <= static_cast<size_t>(style.width)) return table;
  Page page(style);
  for (const v1::RunEvent& event : events) {
    page.Line(0, absl::StrCat(event.revision(), "  ", TimeText(event.event_time()), "  ",
                              WhoText(event)));
    page.Line(4, WhatText(event));
  }
  return page.text();
}

}  // namespace dunlin::cli
