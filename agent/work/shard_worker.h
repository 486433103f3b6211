#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"

#include "agent/ledger/session.h"
#include "agent/pace/batch_sizer.h"
#include "agent/pace/rate_limiter.h"
#include "agent/work/batch_runner.h"
#include "agent/work/bisector.h"
#include "agent/work/crash_memory.h"
#include "agent/work/lease_handle.h"
#include "agent/work/size_memory.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/migration/definition.h"

namespace dunlin::agent {

// Tells the coordinator of a split that the ledger has committed; false when it was not accepted
// (the lease is then lost).
using ReportSplitFn = std::function<bool(const SplitReport&)>;

// Tells the coordinator of rows of the shard that the ledger has set aside, known before or not,
// with the latest checkpoint.
enum class QuarantineAnswer { kGoOn, kStop, kNotTaken };
using ReportQuarantineFn =
    std::function<QuarantineAnswer(const std::vector<QuarantinedRow>&, const Checkpoint&)>;

// What a worker tells the coordinator while it works.
struct ShardReports {
  ReportSplitFn split;
  ReportQuarantineFn quarantine;
};

// How the work on a lease ended.
struct ShardOutcome {
  bool done = false;                     // and durably so
  std::optional<Checkpoint> checkpoint;  // surely committed; absent when in doubt
  OptionalKey upper;                     // as the ledger has it
  Problem problem;                       // kNone: drained, lost or in doubt
};

// Runs one leased shard to its end: claims it, sizes batches, commits each with its checkpoint,
// backs off from trouble, sets aside rows that fail alone, splits when asked. Thread safety: Run()
// from one thread. Blocking: until the shard is done, the lease ends, or a problem needs somebody
// else; each wait is bounded, and ends when the lease is drained or lost.
class ShardWorker {
 public:
  // References outlive the worker.
  ShardWorker(LeaseHandle& handle, const Definition& definition, const SessionFactory& sessions,
              CrashMemory& crashes, SizeMemory& sizes, ShardReports reports, Clock& clock);
  ShardOutcome Run();

 private:
  // nullopt = go on; an outcome = the work on this lease has ended.
  using Ended = std::optional<ShardOutcome>;

  Ended Open();
  Ended Claim();
  Ended CheckCollations(const Relation& relation, const std::string& recorded);
  Ended RunBatches();
  Ended RunOneBatch();
  Ended RunOnceStep();
  Ended HandleFailure(const BatchOutcome& outcome, const Boundary* boundary);
  Ended HandleDataError(const absl::Status& status, const Boundary& boundary);
  Ended SetAside(const absl::Status& status, const Boundary& boundary);
  Ended ReportSetAside(const std::vector<QuarantinedRow>& rows);
  Ended WaitForPace();
  Ended CountLeft(int64_t most, int64_t& left);
  Ended CountForSplit();
  Ended Split();
  void AfterCommit(const Boundary& boundary, const BatchOutcome& outcome, absl::Duration began);
  int64_t RowsForNextBatch() const;
  int64_t RowsLeft() const;
  // Once more rows were met than planned: how many are ahead, so that a hot shard can be split.
  Ended CountAnew();
  ShardOutcome Ending(Problem problem = {}) const;
  ShardOutcome InDoubt() const;
  Ended FromStatus(const absl::Status& status, const std::string& doing);

  LeaseHandle& handle_;
  const ShardWork& work_;
  const Definition& definition_;
  const StepDefinition& step_;
  const SessionFactory& sessions_;
  CrashMemory& crashes_;
  SizeMemory& sizes_;
  const ShardReports reports_;
  Clock& clock_;
  Backoff backoff_;
  BatchSizer sizer_;
  RateLimiter limiter_;
  absl::Duration rest_until_ = absl::ZeroDuration();  // for the duty cycle

  std::unique_ptr<pg::Connection> connection_;
  std::optional<Relation> relation_;
  std::optional<StepSql> sql_;
  std::optional<BatchRunner> runner_;
  ShardState state_;
  std::optional<Boundary> next_;
  bool claimed_ = false;
  int64_t rows_total_ = 0;
  Bisector bisector_;
};

}  // namespace dunlin::agent
