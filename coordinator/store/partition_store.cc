// The partition of a run, as plans and reconciles report it from the ledger.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

#include "common/status_macros.h"
#include "coordinator/logic/coverage.h"
#include "coordinator/logic/failover.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status InsertLedgerShard(Transaction& tx, RunEditor& run, const pg::Statement& statement,
                               const agent_pb::LedgerShard& shard) {
  return tx.Run(statement, {shard.shard_id(), run.id, absl::StrCat(shard.step()), shard.relation(),
                            KeyToArray(shard.has_lower(), shard.lower()),
                            KeyToArray(shard.has_upper(), shard.upper()),
                            KeyToArray(shard.has_cursor(), shard.cursor()),
                            absl::StrCat(shard.epoch()), absl::StrCat(shard.seq()),
                            absl::StrCat(shard.rows_done()), absl::StrCat(shard.rows_changed()),
                            absl::StrCat(std::max(shard.rows_total(), shard.rows_done())),
                            Bool(shard.done()), absl::StrCat(run.revision + 1)});
}

template <typename Shards>
std::string GapIn(const Shards& shards) {
  std::map<int, std::vector<Range>> by_step;
  const auto key = [](bool present, const agent_pb::Key& from) -> OptionalKey {
    if (!present) return std::nullopt;
    return KeyText({from.column_text().begin(), from.column_text().end()});
  };
  for (const agent_pb::LedgerShard& shard : shards) {
    by_step[shard.step()].push_back({.relation = shard.relation(),
                                     .lower = key(shard.has_lower(), shard.lower()),
                                     .upper = key(shard.has_upper(), shard.upper())});
  }
  for (const auto& [step, ranges] : by_step) {
    if (std::string gap = FindCoverageGap(ranges); !gap.empty()) return gap;
  }
  return "";
}

// Where the partition that the store has was read last.
absl::Status MarkPlannedOn(Transaction& tx, RunEditor& run,
                           const agent_pb::TargetIdentity& server) {
  run.planned_timeline = server.timeline();
  return tx.Run(sql::kMarkPlannedOn, {run.id, server.system_identifier()});
}

// Whether the ledger has nothing of a step of which the store has shards.
absl::StatusOr<bool> AnyStepLost(Transaction& tx, const RunEditor& run,
                                 const agent_pb::ReconcileResult& result) {
  std::set<int64_t> steps;
  for (const agent_pb::LedgerShard& shard : result.shards()) steps.insert(shard.step());
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kStepsWithShards, {run.id}));
  for (size_t row = 0; row < known.rows.size(); ++row) {
    if (!steps.contains(known.Int(row, 0))) return true;
  }
  return false;
}

// The run's record is missing. It stays due to be read: `resume` looks again before anything else.
absl::Status FailWithoutRecord(RunEditor& run, const std::string& where) {
  run.reconcile_due = true;
  return run.FailWithError(
      absl::StrCat("the ledger of target ", run.target, " has lost its record of this run, ", where,
                   "; rows may have been changed, so nothing is done again. Find out what happened "
                   "to schema dunlin there, put it back, then resume"));
}

// Nothing of the run is in the ledger, and so nothing of what it did: from the beginning.
absl::Status PlanAgain(Transaction& tx, RunEditor& run) {
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropShardsOfStep, {run.id, "-1"}));
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropQuarantineOfRun, {run.id}));
  run.planned_steps = run.step = run.planned_timeline = run.finalize_phase = 0;
  run.rows_total = run.rows_retried = 0;
  DUNLIN_RETURN_IF_ERROR(run.Emit(
      {.kind = "reconciled", .new_value = "the ledger has no record of it: it is planned again"}));
  return run.ChangeState(RunState::kPlanning, {});
}

// Rows that the ledger does not have go; bounds, cursors, counters and done are its own, epochs the
// higher of both; a lease stays only where bounds agree.
absl::Status TakeOverPartition(Transaction& tx, RunEditor& run,
                               const agent_pb::ReconcileResult& result) {
  // A failover may have taken the end of a run that was finished, or about to.
  if (run.state != RunState::kPlanning)
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kRunning, {}));
  if (const std::string gap = GapIn(result.shards()); !gap.empty()) {
    return run.PauseWithError(
        absl::StrCat("the ledger's shards do not cover the key space: ", gap));
  }
  std::vector<std::string> ids;
  int steps_seen = 0;
  run.rows_total = 0;
  for (const agent_pb::LedgerShard& shard : result.shards()) {
    ids.push_back(shard.shard_id());
    run.rows_total += std::max(shard.rows_total(), shard.rows_done());
    steps_seen = std::max(steps_seen, shard.step() + 1);
    DUNLIN_RETURN_IF_ERROR(InsertLedgerShard(tx, run, sql::kReconcileShard, shard));
  }
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropShard, {run.id, pg::EncodeTextArray(ids)}));
  // A step without shards is planned again: its plan may be what a failover has lost, and planning
  // an empty step twice does no harm.
  run.planned_steps = steps_seen;
  // Done may have become undone, in an earlier step too.
  run.step = 0;
  run.finalize_phase = 0;
  return run.Emit({.kind = "reconciled",
                   .new_value = absl::StrCat(result.shards_size(), " shards"),
                   .audit = false});
}

}  // namespace

absl::Status Store::ApplyPlan(Transaction& tx, RunEditor& run, int step,
                              const agent_pb::PlanResult& plan,
                              const agent_pb::TargetIdentity& server) {
  if (const std::string gap = GapIn(plan.shards()); !gap.empty()) {
    return run.PauseWithError(absl::StrCat("the plan does not cover the key space: ", gap));
  }
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropShardsOfStep, {run.id, absl::StrCat(step)}));
  for (const agent_pb::LedgerShard& shard : plan.shards()) {
    DUNLIN_RETURN_IF_ERROR(InsertLedgerShard(tx, run, sql::kInsertShard, shard));
  }
  run.planned_steps = std::max(run.planned_steps, step + 1);
  DUNLIN_RETURN_IF_ERROR(MarkPlannedOn(tx, run, server));
  run.rows_total += plan.rows_total();
  return run.Emit({.kind = "planned",
                   .new_value = absl::StrCat(plan.shards_size(), " shards of step ", step + 1)});
}

absl::Status Store::ApplyReconcile(Transaction& tx, RunEditor& run, const pg::Result& task,
                                   const agent_pb::ReconcileResult& result,
                                   const agent_pb::TargetIdentity& server) {
  run.reconcile_due = false;
  DUNLIN_RETURN_IF_ERROR(run.SetReason(""));
  DUNLIN_ASSIGN_OR_RETURN(const bool step_lost, AnyStepLost(tx, run, result));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result planned, tx.Query(sql::kPlannedSystem, {run.id}));
  const ReconcileFacts facts{.run_known = result.run_known(),
                             .finished = result.finished(),
                             .planned = run.planned_steps > 0,
                             .step_lost = step_lost,
                             .planned_on = {planned.Text(0, 0), run.planned_timeline},
                             .now = {server.system_identifier(), server.timeline()}};
  switch (DecideReconcile(facts)) {
    case ReconcileVerdict::kRecordLost:
      return FailWithoutRecord(run, "on the server where it was planned");
    case ReconcileVerdict::kWrongServer:
      return FailWithoutRecord(
          run, absl::StrCat("or never had one: it is another PostgreSQL server (",
                            server.system_identifier(), ") than the one where it was planned (",
                            planned.Text(0, 0), ")"));
    case ReconcileVerdict::kPlanAgain:
      return PlanAgain(tx, run);
    case ReconcileVerdict::kFinished:
      DUNLIN_RETURN_IF_ERROR(ApplyQuarantine(tx, run, task, result.quarantine()));
      DUNLIN_RETURN_IF_ERROR(MarkPlannedOn(tx, run, server));
      DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kFinished, {}));
      return tx.Run(sql::kMarkConfirmed, {run.id});
    case ReconcileVerdict::kTakeOver:
      DUNLIN_RETURN_IF_ERROR(ApplyQuarantine(tx, run, task, result.quarantine()));
      DUNLIN_RETURN_IF_ERROR(TakeOverPartition(tx, run, result));
      return MarkPlannedOn(tx, run, server);  // known to the ledger of this timeline
  }
  return absl::OkStatus();
}

}  // namespace dunlin::coordinator
