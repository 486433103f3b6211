// What has been told of runs, and to whom it falls to tell the rest.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/limits.h"
#include "common/status_macros.h"
#include "coordinator/notify/notice.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

// One post each; the claim outlasts them when the other side answers as it should.
constexpr int kMaxNoticesOfRun = 10;

// What is to be told of the events behind `notices.told_before`, and how far that reaches.
absl::Status ReadNoticeable(Transaction& tx, NoticesOfRun& notices) {
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result events,
      tx.Query(sql::kListEvents, {notices.run.run_id(), absl::StrCat(notices.told_before), "true",
                                  absl::StrCat(kMaxPageSize)}));
  notices.up_to = events.rows.size() < kMaxPageSize ? notices.run.revision() : 0;
  for (size_t row = 0; row < events.rows.size(); ++row) {
    pb::RunEvent event;
    DecodeEvent(events, row, &event);
    if (notices.events.size() == kMaxNoticesOfRun) {
      notices.up_to = notices.events.back().revision();
      return absl::OkStatus();
    }
    notices.up_to = std::max(notices.up_to, event.revision());
    if (IsNoticeable(event)) notices.events.push_back(std::move(event));
  }
  return absl::OkStatus();
}

// `claimed`: the row of sql::kClaimNotices.
absl::Status LookForStall(Transaction& tx, const pg::Result& claimed, size_t row,
                          absl::Duration stall_after, NoticesOfRun& notices) {
  const std::string mark = ProgressMark(notices.run);
  if (mark != claimed.Text(row, 2)) return tx.Run(sql::kMarkProgress, {notices.run.run_id(), mark});
  const absl::Duration still_for = absl::Seconds(Number(claimed.rows[row][3]));
  if (claimed.Bool(row, 4)) return absl::OkStatus();  // told already
  notices.stall = StallOf(notices.run, still_for >= stall_after);
  if (!notices.stall) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result now, tx.Query(sql::kNowSeconds));
  notices.stall->set_revision(notices.run.revision());
  notices.stall->mutable_event_time()->set_seconds(static_cast<int64_t>(Number(now.rows[0][0])));
  return absl::OkStatus();
}

absl::Status Note(Transaction& tx, const std::string& run, int64_t revision, bool all_told,
                  bool stall_told) {
  return tx.Run(sql::kNoteTold, {run, absl::StrCat(revision), Bool(all_told), Bool(stall_told)});
}

}  // namespace

absl::StatusOr<std::vector<NoticesOfRun>> Store::ClaimNotices(absl::Duration stall_after) {
  std::vector<NoticesOfRun> all;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    all.clear();
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kBeginToTell));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result claimed, tx.Query(sql::kClaimNotices));
    for (size_t row = 0; row < claimed.rows.size(); ++row) {
      NoticesOfRun notices{.told_before = claimed.Int(row, 1)};
      DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, claimed.Text(row, 0), &notices.run));
      DUNLIN_RETURN_IF_ERROR(ReadNoticeable(tx, notices));
      DUNLIN_RETURN_IF_ERROR(LookForStall(tx, claimed, row, stall_after, notices));
      if (notices.events.empty() && !notices.stall) {
        DUNLIN_RETURN_IF_ERROR(Note(tx, notices.run.run_id(), notices.up_to, true, false));
      } else {
        all.push_back(std::move(notices));
      }
    }
    return absl::OkStatus();
  }));
  return all;
}

absl::Status Store::NoteTold(const std::string& run, int64_t revision, bool all_told,
                             bool stall_told) {
  return InTransaction(
      [&](Transaction& tx) { return Note(tx, run, revision, all_told, stall_told); });
}

}  // namespace dunlin::coordinator
