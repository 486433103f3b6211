#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/migration/definition.h"
#include "common/pg/types.h"
#include "coordinator/logic/run_advance.h"
#include "coordinator/logic/run_state.h"
#include "coordinator/store/transaction.h"

namespace dunlin::coordinator {

// A run's row, locked, and the only way to change it: every change is an event with the next
// revision, and Save() writes the row last. Lives inside one transaction. Thread safety: one
// thread.
class RunEditor {
 public:
  // FOR UPDATE. NOT_FOUND when there is no such run.
  static absl::StatusOr<RunEditor> Lock(Transaction& tx, const std::string& run_id);
  // Without waiting: nullopt when another replica has it.
  static absl::StatusOr<std::optional<RunEditor>> TryLock(Transaction& tx,
                                                          const std::string& run_id);

  struct EventText {
    std::string kind;
    std::string actor = "dunlin";
    std::string reason;
    std::string peer;
    std::string shard;
    std::string old_value;
    std::string new_value;
    bool audit = true;
  };
  absl::Status Emit(const EventText& event);
  // INTERNAL when the table of transitions has no such edge: a bug.
  absl::Status ChangeState(RunState to, const EventText& why);
  // Shown as the run's reason; an event only when it changes.
  absl::Status SetReason(const std::string& reason);
  absl::Status SetThrottledReason(const std::string& reason);
  // Checkpoints are no events, but watchers must see that something moved.
  int64_t NextRevision() { return ++revision; }

  // The three commonest reasons of the rows that are set aside, with their numbers; empty = none.
  absl::StatusOr<std::string> QuarantineReasons();
  // Pauses the run with an error that a person must see.
  absl::Status PauseWithError(const std::string& error);
  absl::Status FailWithError(const std::string& error);

  // Asks logic/run_advance what is next, and does it, until nothing is. Call after every change,
  // before Save().
  absl::Status Settle();
  // Writes the row when it differs from what was read. Last in the transaction, and in every one
  // that may have emitted an event: an event without its revision in the row would block the run.
  absl::Status Save();

  // What the run executes: of an undo, what takes the file's migration back.
  absl::StatusOr<const Definition*> definition() const;

  // Whether anything of it may be leased: a run in work, or a FINISHED one whose target has failed
  // over, which is read again.
  bool MayHoldLeases() const {
    return MayWork(state) || (state == RunState::kFinished && reconcile_due);
  }

  // The row. Writable members are written by Save().
  std::string id, migration, target, digest, definition_bytes, parameters_json, operator_name,
      started_at_text;
  RunState state = RunState::kPending;
  std::string reason, throttled_reason, error;
  int64_t revision = 0;
  int steps = 1, step = 0, planned_steps = 0, planned_timeline = 0, finalize_phase = 0,
      reconciles = 0;
  int64_t task_epoch = 0;
  bool preflight_passed = false, reconcile_due = false, pressure_seen = false;
  int concurrency_limit = 1, concurrency_allowed = 1;
  double concurrency_age_seconds = 0;
  bool concurrency_changed = false;
  int64_t rows_per_second = 0, batch_time_ms = 100, pause_ms = 0;
  int64_t stop_after_rows = 0, stop_after_base = 0, rows_total = 0;
  int64_t retries_asked = 0, retries_done = 0, rows_retried = 0;
  RunKind kind = RunKind::kApply;
  std::string follows;  // the run whose place it takes; empty = none
  std::string note;     // of a baseline
  bool paused_with_all = false;

 private:
  explicit RunEditor(Transaction& tx) : tx_(&tx) {}
  static absl::StatusOr<RunEditor> Decode(Transaction& tx, const pg::Result& result);
  absl::StatusOr<RunFacts> ReadFacts();
  absl::Status Apply(const RunStepDecision& decision, const RunFacts& facts, bool& again);
  absl::Status CreateTask(TaskKind task, bool finish);
  std::vector<pg::Value> Row() const;  // the parameters of Save()
  absl::Status CreateVerifyTasks();

  Transaction* tx_;
  std::vector<pg::Value> as_read_;
  mutable std::shared_ptr<const Definition> definition_;
};

}  // namespace dunlin::coordinator
