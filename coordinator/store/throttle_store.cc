// What operators change of the limits of live runs.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/limits.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "common/text/duration.h"
#include "coordinator/logic/throttle.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

// A run's limits now, and those that come back when what was asked for a while is over.
struct Throttle {
  RunLimits now;
  std::optional<RunLimits> base;
  bool over = false;  // its time has passed
};

absl::StatusOr<Throttle> ReadThrottle(Transaction& tx, const RunEditor& run) {
  Throttle throttle{.now = {.concurrency = run.concurrency_limit,
                            .rows_per_second = run.rows_per_second,
                            .batch_time = absl::Milliseconds(run.batch_time_ms)}};
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kReadThrottle, {run.id}));
  if (found.rows.empty()) return throttle;
  throttle.now.ratio = Number(found.rows[0][0]);
  if (found.IsNull(0, 1)) return throttle;
  throttle.over = found.Bool(0, 1);
  throttle.base = RunLimits{.concurrency = static_cast<int>(found.Int(0, 2)),
                            .rows_per_second = found.Int(0, 3),
                            .batch_time = absl::Milliseconds(found.Int(0, 4)),
                            .ratio = Number(found.rows[0][5])};
  return throttle;
}

// `base` absent: for good.
absl::Status WriteThrottle(Transaction& tx, RunEditor& run, const RunLimits& now,
                           const std::optional<RunLimits>& base, absl::Duration lasts,
                           const std::string& actor) {
  run.concurrency_limit = now.concurrency;
  run.rows_per_second = now.rows_per_second;
  run.batch_time_ms = absl::ToInt64Milliseconds(now.batch_time);
  DUNLIN_RETURN_IF_ERROR(tx.Run(
      sql::kSetLimits, {run.id, absl::StrCat(run.concurrency_limit),
                        absl::StrCat(run.rows_per_second), absl::StrCat(run.batch_time_ms)}));
  if (!base) {
    return tx.Run(sql::kSaveThrottle, {run.id, absl::StrCat(now.ratio), std::nullopt, std::nullopt,
                                       std::nullopt, std::nullopt, std::nullopt, actor});
  }
  return tx.Run(sql::kSaveThrottle,
                {run.id, absl::StrCat(now.ratio), DurationText(lasts),
                 absl::StrCat(base->concurrency), absl::StrCat(base->rows_per_second),
                 absl::StrCat(absl::ToInt64Milliseconds(base->batch_time)),
                 absl::StrCat(base->ratio), actor});
}

LimitsChange ChangeOf(const pb::ThrottleRunRequest& request) {
  LimitsChange change;
  if (request.has_concurrency()) change.concurrency = request.concurrency();
  if (request.has_rows_per_second()) change.rows_per_second = request.rows_per_second();
  if (request.has_batch_time_duration()) {
    change.batch_time = absl::Seconds(request.batch_time_duration().seconds()) +
                        absl::Nanoseconds(request.batch_time_duration().nanos());
  }
  if (request.has_ratio()) change.ratio = request.ratio();
  return change;
}

absl::Status ThrottleOne(Transaction& tx, RunEditor& run, const pb::ThrottleRunRequest& request,
                         const Caller& caller) {
  DUNLIN_ASSIGN_OR_RETURN(Throttle throttle, ReadThrottle(tx, run));
  const LimitsChange change = ChangeOf(request);
  DUNLIN_ASSIGN_OR_RETURN(const TargetView view, ReadTargetView(tx, run.target));
  if (change.batch_time) {
    const std::string problem = WhyBatchTooLong(*change.batch_time, view.deadlock_timeout);
    if (!problem.empty())
      return WithReason(absl::InvalidArgumentError(problem), "BATCH_TIME_TOO_LONG");
  }
  const absl::Duration lasts = absl::Seconds(request.for_duration().seconds());
  const RunLimits before = throttle.now;
  std::optional<RunLimits> base;
  RunLimits after = Apply(change, before);
  if (request.has_for_duration()) {
    base = throttle.base.value_or(before);
  } else if (throttle.base) {
    // What was asked for a while goes on for that while.
    after = Apply(change, *throttle.base);
  }
  DUNLIN_RETURN_IF_ERROR(WriteThrottle(tx, run, after, base, lasts, request.operator_name()));
  return run.Emit(
      {.kind = "limits_changed",
       .actor = request.operator_name(),
       .reason = request.reason(),
       .peer = caller.peer,
       .old_value = LimitsText(before, after),
       .new_value = absl::StrCat(LimitsText(after, before),
                                 base ? absl::StrCat(", for ", HumanDuration(lasts)) : "")});
}

bool IsOver(RunState state) {
  return state == RunState::kFinished || state == RunState::kCancelled ||
         state == RunState::kFailed;
}

}  // namespace

absl::Status EndThrottle(Transaction& tx, RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const Throttle throttle, ReadThrottle(tx, run));
  if (!throttle.over || !throttle.base) return absl::OkStatus();
  DUNLIN_RETURN_IF_ERROR(
      WriteThrottle(tx, run, *throttle.base, std::nullopt, absl::ZeroDuration(), "dunlin"));
  return run.Emit({.kind = "limits_changed",
                   .reason = "the time of the throttle is over",
                   .old_value = LimitsText(throttle.now, *throttle.base),
                   .new_value = LimitsText(*throttle.base, throttle.now)});
}

absl::StatusOr<std::string> ThrottledBy(Transaction& tx, const RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const Throttle throttle, ReadThrottle(tx, run));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result by, tx.Query(sql::kThrottledBy, {run.id}));
  if (by.rows.empty()) return std::string();
  const RunLimits usual =
      throttle.base.value_or(RunLimits{.concurrency = throttle.now.concurrency,
                                       .rows_per_second = throttle.now.rows_per_second,
                                       .batch_time = throttle.now.batch_time});
  const std::string what = LimitsText(throttle.now, usual);
  if (what.empty()) return std::string();
  return absl::StrCat("throttled by ", by.Text(0, 0), ": ", what,
                      by.IsNull(0, 1) ? "" : absl::StrCat(", until ", by.Text(0, 1)));
}

absl::StatusOr<pb::ThrottleRunResponse> Store::ThrottleRun(const pb::ThrottleRunRequest& request,
                                                           const Caller& caller) {
  return Idempotent<pb::ThrottleRunRequest, pb::ThrottleRunResponse>(
      request, [&](Transaction& tx, pb::ThrottleRunResponse& response) -> absl::Status {
        std::vector<std::string> ids;
        if (request.run() == "all") {
          DUNLIN_ASSIGN_OR_RETURN(const pg::Result live, tx.Query(sql::kLiveRuns));
          for (size_t row = 0; row < live.rows.size(); ++row) ids.push_back(live.Text(row, 0));
        } else {
          DUNLIN_ASSIGN_OR_RETURN(ids.emplace_back(), ResolveRun(tx, request.run()));
        }
        for (const std::string& id : ids) {
          DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
          if (IsOver(run.state)) {
            return WithReason(absl::FailedPreconditionError(
                                  absl::StrCat("run ", run.migration, " is ", ToText(run.state),
                                               "; there is nothing to throttle")),
                              "WRONG_STATE");
          }
          DUNLIN_RETURN_IF_ERROR(ThrottleOne(tx, run, request, caller));
          DUNLIN_RETURN_IF_ERROR(UpdatePace(tx, run));
          DUNLIN_RETURN_IF_ERROR(run.Save());
          DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, id, response.add_runs()));
        }
        return absl::OkStatus();
      });
}

}  // namespace dunlin::coordinator
