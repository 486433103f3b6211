#include "agent/work/shard_worker.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/ledger/statements.h"
#include "agent/task/sampling.h"
#include "agent/work/error_action.h"
#include "agent/work/problem.h"
#include "agent/work/tied_session.h"
#include "common/fault.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg/types.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kBackoffBase = absl::Milliseconds(100);
constexpr absl::Duration kBackoffCap = absl::Seconds(30);
// The DBA's dunlin.go() is obeyed within five seconds.
constexpr absl::Duration kStoppedPoll = absl::Seconds(1);
// A batch that took long says little about the next one.
constexpr absl::Duration kLongestRest = absl::Seconds(5);
// An index of so many entries is read in some milliseconds.
constexpr int64_t kRowsCountedAhead = 50'000;
// As many as a split looks ahead for its middle, on both sides of it.
constexpr int64_t kRowsCountedForSplit = 400'000;

const ShardWork& WorkOf(const LeaseHandle& handle) {
  return std::get<ShardWork>(handle.lease().work);
}

std::vector<std::string> ParameterNames(const Definition& definition) {
  std::vector<std::string> names;
  for (const ParameterDefinition& parameter : definition.parameters)
    names.push_back(parameter.name);
  return names;
}

}  // namespace

ShardWorker::ShardWorker(LeaseHandle& handle, const Definition& definition,
                         const SessionFactory& sessions, CrashMemory& crashes, SizeMemory& sizes,
                         ShardReports reports, Clock& clock)
    : handle_(handle),
      work_(WorkOf(handle)),
      definition_(definition),
      step_(definition.steps[static_cast<size_t>(work_.step)]),
      sessions_(sessions),
      crashes_(crashes),
      sizes_(sizes),
      reports_(std::move(reports)),
      clock_(clock),
      backoff_(kBackoffBase, kBackoffCap, Random01),
      sizer_(handle.limits().batch_time, sizes.FirstRows(handle.lease().run.id, work_.step)),
      rows_total_(work_.rows_total) {}

ShardOutcome ShardWorker::Run() {
  if (Ended ended = Open()) return *std::move(ended);
  if (Ended ended = Claim()) return *std::move(ended);
  // A former owner may have died between setting a row aside and telling so.
  auto set_aside = ListQuarantined(*connection_, work_.id);
  if (!set_aside.ok()) return *FromStatus(set_aside.status(), "reading what is set aside");
  if (DUNLIN_MUTANT("set_aside_untold")) set_aside->clear();
  if (Ended ended = ReportSetAside(*set_aside)) return *std::move(ended);
  if (state_.done)
    return Ending();  // done before; the claim was this agent's own synchronous write (I4)
  if (step_.is_once()) {
    if (Ended ended = RunOnceStep()) return *std::move(ended);
    return Ending();
  }
  if (Ended ended = RunBatches()) return *std::move(ended);
  return Ending();
}

ShardOutcome ShardWorker::Ending(Problem problem) const {
  ShardOutcome outcome;
  outcome.done = state_.done;
  if (claimed_) outcome.checkpoint = state_.checkpoint;
  outcome.upper = state_.upper;
  outcome.problem = std::move(problem);
  return outcome;
}

// Nothing is inferred: no checkpoint is reported, and only a fresh grant goes on.
ShardOutcome ShardWorker::InDoubt() const { return ShardOutcome{}; }

ShardWorker::Ended ShardWorker::FromStatus(const absl::Status& status, const std::string& doing) {
  if (status.ok()) return std::nullopt;
  if (connection_ == nullptr || connection_->broken()) {
    Problem problem = ProblemFromStatus(status, doing);
    ShardOutcome outcome = InDoubt();
    outcome.problem = std::move(problem);
    return outcome;
  }
  return Ending(ProblemFromStatus(status, doing));
}

ShardWorker::Ended ShardWorker::Open() {
  const RunSpec& run = handle_.lease().run;
  const std::string search_path =
      work_.relation.empty() ? "public, pg_temp" : SearchPathOf(work_.relation);
  auto opened = TieSession(handle_, sessions_.OpenForShard(run.migration, work_.id, work_.epoch,
                                                           search_path, handle_.lost_token()));
  crashes_.TriedToConnect(opened.status());
  if (!opened.ok()) {
    return FromStatus(opened.status(), absl::StrCat("connecting to target ", run.target));
  }
  connection_ = *std::move(opened);
  return std::nullopt;
}

ShardWorker::Ended ShardWorker::Claim() {
  const RunSpec& run = handle_.lease().run;
  auto claimed = ClaimShard(
      *connection_, sessions_, run, work_, [this] { return handle_.Valid(); },
      handle_.lost_token());
  if (!claimed.ok()) return FromStatus(claimed.status(), "claiming the shard");
  if (auto* problem = std::get_if<Problem>(&*claimed)) return Ending(*problem);
  ClaimedShard& shard = std::get<ClaimedShard>(*claimed);
  claimed_ = true;
  state_ = ShardState{.id = work_.id,
                      .epoch = work_.epoch,
                      .lower = shard.lower,
                      .upper = shard.upper,
                      .checkpoint = shard.checkpoint,
                      .done = shard.done};
  rows_total_ = shard.rows_total;
  handle_.Post(state_.checkpoint, RowsLeft());
  if (state_.done) return std::nullopt;

  auto parameters = ResolveParameters(*connection_, definition_, run.parameters, run.started_at);
  if (!parameters.ok()) return FromStatus(parameters.status(), "reading the parameters");
  absl::StatusOr<StepSql> sql = absl::InternalError("not made");
  if (step_.is_once()) {
    sql = StepSql::MakeOnce(step_, ParameterNames(definition_), *std::move(parameters));
  } else {
    auto relation = DescribeRelation(*connection_, work_.relation, step_.key);
    if (!relation.ok()) return FromStatus(relation.status(), "looking up the table");
    relation_ = *std::move(relation);
    if (Ended ended = CheckCollations(*relation_, shard.collations)) return ended;
    const auto images = DescribeImages(*connection_, run, work_.step, step_, *relation_);
    if (!images.ok()) return FromStatus(images.status(), "looking up the columns of `undo`");
    sql = StepSql::Make(step_, *relation_, ParameterNames(definition_), *std::move(parameters),
                        *images);
  }
  if (!sql.ok()) return FromStatus(sql.status(), "preparing the statements");
  sql_ = *std::move(sql);
  auto budget = ReadBatchBudget(*connection_);
  if (!budget.ok()) return FromStatus(budget.status(), "reading deadlock_timeout");
  runner_.emplace(*connection_, *sql_, definition_.durability, *budget);
  // A batch that crashed the server is not tried again at its full size, and not for ever (trap 6).
  const int crashes = crashes_.CrashesAt(work_.id, state_.checkpoint.seq);
  if (crashes >= 3) {
    return Ending(Problem{
        .kind = Problem::Kind::kPause,
        .message = absl::StrCat("the server crashed three times while a batch of ", work_.relation,
                                " was running; look into its log before you resume")});
  }
  if (crashes == 2) sizer_.Crashed();
  return std::nullopt;
}

ShardWorker::Ended ShardWorker::CheckCollations(const Relation& relation,
                                                const std::string& recorded) {
  if (relation.collation_versions == recorded) return std::nullopt;
  return Ending(
      Problem{.kind = Problem::Kind::kPause,
              .message = absl::StrCat("the collation of ", DescribeKey(relation),
                                      " is another version than when the run was planned (",
                                      recorded, ", now ", relation.collation_versions,
                                      "): text may be ordered otherwise, and indexes may need "
                                      "REINDEX. Check them before you resume")});
}

int64_t ShardWorker::RowsLeft() const {
  return std::max<int64_t>(0, rows_total_ - state_.checkpoint.rows_done);
}

int64_t ShardWorker::RowsForNextBatch() const {
  const WorkLimits limits = handle_.limits();
  const int64_t sized = sizes_.fixed_rows() > 0 ? sizes_.fixed_rows() : sizer_.rows();
  int64_t rows = std::min(sized, RateLimiter::MaxRows(limits.rows_per_second));
  if (bisector_.active()) rows = std::min(rows, bisector_.FindRows());
  return std::max<int64_t>(1, std::min(rows, handle_.RowsAllowed()));
}

ShardWorker::Ended ShardWorker::RunBatches() {
  while (!state_.done) {
    if (!handle_.Valid() || handle_.Draining()) return Ending();
    if (handle_.TakeSplitRequest()) {
      if (Ended ended = Split()) return ended;
    }
    if (Ended ended = WaitForPace()) return ended;
    if (Ended ended = RunOneBatch()) return ended;
    if (Ended ended = CountAnew()) return ended;
  }
  return std::nullopt;
}

// The rows ahead, `most` for that many or more. `left` stays what it is when that takes too long.
ShardWorker::Ended ShardWorker::CountLeft(int64_t most, int64_t& left) {
  const auto ahead = CountAhead(*connection_, *relation_, state_.from(), *state_.upper, most);
  if (!ahead.ok() && connection_->broken())
    return HandleFailure(BatchOutcome{.status = ahead.status()}, nullptr);
  if (ahead.ok()) left = *ahead;
  return std::nullopt;
}

ShardWorker::Ended ShardWorker::CountAnew() {
  if (state_.done || step_.is_once() || !state_.upper || RowsLeft() > 0) return std::nullopt;
  int64_t left = kRowsCountedAhead;  // also when it takes too long to look so far
  if (Ended ended = CountLeft(kRowsCountedAhead, left)) return ended;
  rows_total_ = state_.checkpoint.rows_done + left;
  handle_.Post(state_.checkpoint, RowsLeft());
  return std::nullopt;
}

ShardWorker::Ended ShardWorker::WaitForPace() {
  const WorkLimits limits = handle_.limits();
  sizer_.SetBatchTime(limits.batch_time);
  if (handle_.RowsAllowed() == 0) {
    // The canary's share is used up: the next heartbeat brings the pause, or another share.
    return handle_.Wait(absl::Milliseconds(50)) ? Ended() : Ending();
  }
  const absl::Duration now = clock_.Monotonic();
  const absl::Duration wait =
      std::max({limits.pause, limiter_.WaitBefore(limits.rows_per_second, now), rest_until_ - now});
  if (wait > absl::ZeroDuration() && !handle_.Wait(wait)) return Ending();
  return std::nullopt;
}

ShardWorker::Ended ShardWorker::RunOneBatch() {
  if (handle_.RowsAllowed() == 0) return std::nullopt;
  const int64_t rows = RowsForNextBatch();
  // A boundary that was looked up ahead may be too far by now: after a timeout, a new limit, a
  // failing row.
  if (next_ && next_->rows > rows + rows / 4 && next_->rows > 1) next_.reset();
  if (!next_) {
    auto found = runner_->FindBoundary(state_, rows, bisector_.active());
    if (!found.ok())
      return HandleFailure(
          BatchOutcome{.status = found.status(), .in_doubt = connection_->broken()}, nullptr);
    next_ = *std::move(found);
  }
  // What came since RunBatches() asked may have taken longer than the lease: the pace, a pause of
  // the file.
  if (!handle_.Valid()) return Ending();
  const Boundary boundary = *next_;
  const absl::Duration began = clock_.Monotonic();
  // What comes behind a range that the bisector chose is looked up when it is known what it is.
  const BatchOutcome outcome = runner_->Run(state_, boundary, bisector_.active() ? 0 : rows);
  if (!outcome.status.ok()) return HandleFailure(outcome, &boundary);
  AfterCommit(boundary, outcome, began);
  return std::nullopt;
}

void ShardWorker::AfterCommit(const Boundary& boundary, const BatchOutcome& outcome,
                              absl::Duration began) {
  next_ = outcome.next;
  backoff_.Reset();
  crashes_.Committed(state_.id);
  const bool sized_by_time = !bisector_.active();
  bisector_.Passed(boundary.asked, sizer_.rows());
  if (sized_by_time) {
    sizer_.Committed(boundary.rows, outcome.statements_took);
    sizes_.Remember(handle_.lease().run.id, work_.step, sizer_.rows());
  }
  limiter_.Spent(boundary.rows, handle_.limits().rows_per_second, began);
  // While COMMIT waits for the disk nothing is done that others could feel: that is rest, too.
  const absl::Duration worked = outcome.statements_took;
  rest_until_ = began + std::min(worked / handle_.limits().duty, worked + kLongestRest);
  handle_.SetWaiting("");
  handle_.Post(state_.checkpoint, RowsLeft());
  if (DUNLIN_MUTANT("list_grows_per_batch")) {
    static std::vector<Checkpoint> all;
    all.push_back(state_.checkpoint);
  }
}

ShardWorker::Ended ShardWorker::RunOnceStep() {
  while (true) {
    if (!handle_.Valid() || handle_.Draining()) return Ending();
    const BatchOutcome outcome = runner_->RunOnce(state_);
    if (outcome.status.ok()) {
      handle_.Post(state_.checkpoint, 0);
      return std::nullopt;
    }
    if (Ended ended = HandleFailure(outcome, nullptr)) return ended;
  }
}

ShardWorker::Ended ShardWorker::HandleFailure(const BatchOutcome& outcome,
                                              const Boundary* boundary) {
  const absl::Status& status = outcome.status;
  const std::string what =
      work_.relation.empty() ? std::string("the `once` statements") : work_.relation;
  if (outcome.in_doubt || connection_->broken()) {
    crashes_.LostDuringBatch(state_.id, state_.checkpoint.seq,
                             LossOf(status, connection_->TakeNoticeSqlStates()));
    if (DUNLIN_MUTANT("in_doubt_by_read") || DUNLIN_MUTANT("in_doubt_same_epoch")) {
      next_.reset();
      if (Ended ended = Open()) return ended;
      return Claim();
    }
    return InDoubt();
  }
  next_.reset();
  std::string reason;
  absl::Duration wait = absl::ZeroDuration();
  switch (ClassifyError(status)) {
    case ErrorAction::kReconnect:
      return InDoubt();
    case ErrorAction::kLeaseLost:
      LOG(INFO) << Event("fenced_off").Kv("shard", state_.id).Kv("epoch", state_.epoch);
      return InDoubt();
    case ErrorAction::kFailRun:
      return Ending(ProblemFromStatus(status, absl::StrCat("a batch of ", what)));
    case ErrorAction::kBisect:
      if (boundary != nullptr) return HandleDataError(status, *boundary);
      if (step_.where && !bisector_.active()) {  // `where` itself fails, for a row of the next ones
        bisector_.Failed(StepSql::kMaxRowsLookedAt, StepSql::kMaxRowsLookedAt);
        return std::nullopt;
      }
      return Ending(ProblemFromStatus(status, what));
    case ErrorAction::kStopped:
      reason = absl::StrCat("stopped in the database: ", pg::GetServerError(status)->message);
      wait = kStoppedPoll;
      break;
    case ErrorAction::kRetrySmaller:
      sizer_.TimedOut();
      sizes_.Remember(handle_.lease().run.id, work_.step, sizer_.rows());
      wait = backoff_.Next();
      reason =
          absl::StrCat("backs off ", absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))),
                       " after: ", status.message());
      break;
    case ErrorAction::kRetry:
      wait = backoff_.Next();
      reason =
          absl::StrCat("backs off ", absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))),
                       " after: ", status.message());
      break;
  }
  handle_.SetWaiting(reason);
  if (!handle_.Wait(wait)) return Ending();
  return std::nullopt;
}

// Halves the range until it is one key; what commits on the way is done.
ShardWorker::Ended ShardWorker::HandleDataError(const absl::Status& status,
                                                const Boundary& boundary) {
  int64_t asked = boundary.asked, rows = boundary.rows;
  if (step_.where && !bisector_.active()) {
    // It halves rows whether they match `where` or not.
    auto counted = runner_->CountRows(state_, boundary.upper);
    asked = rows = counted.ok() ? *counted : StepSql::kMaxRowsLookedAt;
  }
  if (!bisector_.Failed(asked, rows)) return std::nullopt;
  return SetAside(status, boundary);
}

ShardWorker::Ended ShardWorker::SetAside(const absl::Status& status, const Boundary& boundary) {
  Problem problem = ProblemFromStatus(status, absl::StrCat("a batch of ", work_.relation));
  problem.kind = Problem::Kind::kData;
  problem.key_from = state_.from();
  problem.key_to = boundary.upper;
  if (definition_.limits.max_quarantined == 0) return Ending(std::move(problem));
  const std::string reason =
      absl::StrCat(problem.sqlstate, " ", problem.table, " ", problem.constraint);
  if (bisector_.IsWholeBatch(reason)) {
    absl::StrAppend(&problem.message, ", and so did each of the ", Bisector::kWholeBatch - 1,
                    " rows before it: whole batches fail for this one reason");
    return Ending(std::move(problem));
  }
  QuarantinedRow row{.id = MakeUuid(),
                     .shard = state_.id,
                     .step = work_.step,
                     .relation = work_.relation,
                     .key = boundary.upper,
                     .rows = boundary.rows,
                     .sqlstate = problem.sqlstate,
                     .constraint = problem.constraint,
                     .table = problem.table};
  for (const KeyColumn& column : relation_->key) row.key_columns.push_back(column.name);
  const BatchOutcome outcome = runner_->SetAside(state_, row);
  if (!outcome.status.ok()) return HandleFailure(outcome, nullptr);
  LOG(INFO) << Event("row_set_aside").Kv("shard", state_.id).Kv("sqlstate", row.sqlstate);
  bisector_.SetAside(reason);
  crashes_.Committed(state_.id);
  handle_.Post(state_.checkpoint, RowsLeft());
  return ReportSetAside({row});
}

// The ledger has them already: a report that is not taken is made by the next owner.
ShardWorker::Ended ShardWorker::ReportSetAside(const std::vector<QuarantinedRow>& rows) {
  for (size_t at = 0; at < rows.size(); at += kMaxQuarantinedPerReport) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(at);
    const auto count = std::min<size_t>(kMaxQuarantinedPerReport, rows.size() - at);
    const std::vector<QuarantinedRow> part(begin, begin + static_cast<std::ptrdiff_t>(count));
    switch (reports_.quarantine(part, state_.checkpoint)) {
      case QuarantineAnswer::kGoOn:
        break;
      case QuarantineAnswer::kStop:
        if (!state_.done) return Ending();
        break;
      case QuarantineAnswer::kNotTaken:
        return InDoubt();
    }
  }
  return std::nullopt;
}

// Halves of what was planned would be no halves of a shard that has grown since.
ShardWorker::Ended ShardWorker::CountForSplit() {
  if (step_.where) return std::nullopt;  // rows that match are not counted so
  int64_t left = RowsLeft();
  if (Ended ended = CountLeft(kRowsCountedForSplit, left)) return ended;
  if (left == kRowsCountedForSplit) left = std::max(left, RowsLeft());
  rows_total_ = state_.checkpoint.rows_done + left;
  return std::nullopt;
}

// One transaction moves our upper and inserts the child; only then both are reported. Whatever
// breaks in between, the ledger is right and a reconcile finds the child.
ShardWorker::Ended ShardWorker::Split() {
  if (Ended ended = CountForSplit()) return ended;
  auto middle = FindMiddle(*connection_, *relation_, state_.from(), *state_.upper, RowsLeft());
  if (!middle.ok()) return HandleFailure(BatchOutcome{.status = middle.status()}, nullptr);
  if (!middle->has_value()) return std::nullopt;  // too little is left to be worth it
  const int64_t left = RowsLeft();
  SplitReport report{.parent = state_.id,
                     .epoch = state_.epoch,
                     .middle = ***middle,
                     .child = ShardId(MakeUuid()),
                     .child_upper = *state_.upper,
                     .parent_rows_total = rows_total_ - left / 2,
                     .child_rows_total = left / 2};
  const OptionalKey new_upper(report.middle);
  // The child's lower is the parent's upper as just moved: gap and overlap cannot be written down
  // (I2).
  const std::vector<pg::Command> commands = {
      {.statement = sql::kFence,
       .parameters = {state_.id.value(), absl::StrCat(state_.epoch.value()),
                      absl::StrCat(state_.checkpoint.seq), EncodeKey(state_.upper), "2000"}},
      {.statement = sql::kMoveUpper,
       .parameters = {state_.id.value(), EncodeKey(new_upper),
                      absl::StrCat(report.parent_rows_total)}},
      {.statement = sql::kInsertChild,
       .parameters = {state_.id.value(), report.child.value(), EncodeKey(state_.upper),
                      absl::StrCat(report.child_rows_total)}}};
  if (const absl::Status fault = DUNLIN_FAULT("agent.split.before_commit"); !fault.ok())
    return InDoubt();
  const absl::Status committed = DUNLIN_MUTANT("split_only_in_store")
                                     ? absl::OkStatus()
                                     : RunTransaction(*connection_, commands, nullptr);
  if (!committed.ok()) {
    if (connection_->broken() || !pg::GetServerError(committed)) return InDoubt();
    return HandleFailure(BatchOutcome{.status = committed}, nullptr);
  }
  if (const absl::Status fault = DUNLIN_FAULT("agent.split.after_commit"); !fault.ok())
    return InDoubt();
  state_.upper = new_upper;
  rows_total_ = report.parent_rows_total;
  next_.reset();
  LOG(INFO) << Event("shard_split").Kv("shard", state_.id).Kv("child", report.child);
  // Not accepted: never repeated under another epoch; the next claim finds other bounds, and
  // reconcile the child.
  if (!reports_.split(report)) return InDoubt();
  handle_.Post(state_.checkpoint, RowsLeft());
  return std::nullopt;
}

}  // namespace dunlin::agent
