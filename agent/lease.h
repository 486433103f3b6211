// What an agent works on: the domain's own form of the protocol's leases.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

#include "common/ids.h"
#include "common/key_text.h"

namespace dunlin::agent {

struct RunSpec {
  RunId id;
  std::string migration;
  std::string target;
  std::string digest;      // hex SHA-256 of `definition`
  std::string definition;  // the file's bytes
  std::map<std::string, std::string> parameters;
  std::string started_at;  // `:started_at`
  std::string store_id;
  std::string store_name;
  int planned_timeline = 0;  // 0 = not planned yet
  enum class Kind { kApply, kUndo };
  Kind kind = Kind::kApply;
  // The run whose place it takes (redo), or which it takes back (undo); empty = none.
  RunId follows;
};

struct ShardWork {
  ShardId id;
  int step = 0;          // 0-based
  std::string relation;  // empty for `once`
  OptionalKey lower;
  OptionalKey upper;  // absent only for `once`
  Epoch epoch;
  int64_t rows_total = 0;
};

enum class TaskKind { kPreflight, kPlan, kVerify, kFinalize, kReconcile, kQuarantine, kBaseline };

// An operator's word that a row may stay as it is.
struct Acceptance {
  std::string quarantine_id;
  std::string by;
  std::string reason;
};

struct TaskWork {
  TaskId id;
  TaskKind kind = TaskKind::kPreflight;
  int step = 0;
  Epoch task_epoch;
  std::optional<ShardWork> shard;  // VERIFY of one shard
  bool finish = false;
  int64_t shards_known = 0;
  int shards_max = 0;
  std::vector<Acceptance> accept;  // QUARANTINE
  bool retry = false;              // QUARANTINE: try all that are not accepted again
  std::string note;                // BASELINE: who says so, and why
};

struct WorkLimits {
  double rows_per_second = 0;  // 0 = no limit
  absl::Duration batch_time = absl::Milliseconds(100);
  absl::Duration pause = absl::ZeroDuration();
  int64_t rows_left = 0;  // 0 = no limit
  double duty = 1;        // the share of its time that a worker may spend in batches
};

// A target that this agent measures for all, and the runs that are in work there.
struct SignalDuty {
  struct Run {
    RunSpec run;  // without a definition when the file has no check of its own
    std::vector<std::string> tables;
    std::string throttled_reason;
  };
  std::string target;
  std::vector<Run> runs;
};

// Which PostgreSQL server a target is, or was when somebody looked.
struct TargetIdentity {
  std::string target;
  std::string system_identifier;  // empty = cannot be reached
  int timeline = 0;               // rises with every failover
};

struct Lease {
  LeaseId id;
  RunSpec run;
  TargetIdentity target;    // the server that it is for
  absl::Duration duration;  // remaining, counted from before the request was sent
  WorkLimits limits;
  std::variant<ShardWork, TaskWork> work;
};

struct Checkpoint {
  OptionalKey cursor;
  int64_t seq = 0;
  int64_t rows_done = 0;
  int64_t rows_changed = 0;
};

// A shard as the ledger has it.
struct LedgerShard {
  ShardId id;
  int step = 0;
  std::string relation;
  OptionalKey lower;
  OptionalKey upper;
  Epoch epoch;
  Checkpoint checkpoint;
  bool done = false;
  int64_t rows_total = 0;
};

// Rows that failed alone and were set aside: those of one key value, usually one; as the ledger has
// them.
struct QuarantinedRow {
  std::string id;  // UUID
  ShardId shard;
  int step = 0;
  std::string relation;
  std::vector<std::string> key_columns;
  KeyText key;
  int64_t rows = 0;
  std::string sqlstate, constraint, table;
  int tries = 1;
  bool accepted = false;
  std::string accepted_by, accepted_reason;
  absl::Time failed_at, tried_at;  // first and latest failure, by the target's clock
};

// Why a lease ended without success; mirrors the protocol's Problem.
struct Problem {
  enum class Kind {
    kNone,
    kTransient,
    kData,
    kDefinition,
    kLedgerMismatch,
    kStaleEpoch,
    kStoreRefused,
    kPause,
    kPermission,
  };
  Kind kind = Kind::kNone;
  std::string message;
  std::string sqlstate, table, constraint;
  OptionalKey key_from, key_to;
  Epoch ledger_epoch;
};

struct PreflightResult {
  std::string waiting_reason;
  int foreign_transactions = -1;
};
struct PlanResult {
  std::vector<LedgerShard> shards;
  int64_t rows_total = 0;
};
// The ledger has the run as done elsewhere.
struct BaselineResult {};
struct VerifyResult {
  int64_t found = 0;
};
struct FinalizeResult {
  bool finished = false;
  // Of an undo: rows that were changed since and are left as they are, and some of their keys, in
  // words.
  int64_t rows_left = 0;
  std::vector<std::string> some_left = {};
};
// What is set aside and not done, after the task.
struct QuarantineResult {
  std::vector<QuarantinedRow> rows;
  int64_t rows_retried = 0;  // rows that all retries of the run have changed
};
struct ReconcileResult {
  std::vector<LedgerShard> shards;
  QuarantineResult quarantine;
  bool run_known = false;
  bool finished = false;
};
// monostate: nothing to report, the lease is lost.
using TaskResult =
    std::variant<std::monostate, PreflightResult, PlanResult, VerifyResult, FinalizeResult,
                 ReconcileResult, QuarantineResult, BaselineResult, Problem>;

// A question to a target, or a small change of its ledger, beside the runs in work; takes no slot.
struct ConfirmRuns {};
// Drops the before-images and shard rows of a run that is over.
struct ForgetRun {
  RunId run;
};
struct LookForSchemaLocks {
  std::vector<std::string> tables;  // as in files
};
// Makes the store of the task the owner of the target.
struct AdoptTarget {
  std::string by, reason;
};
// Reads some runs of the ledger whole.
struct ReadRuns {
  std::vector<std::string> ids;
};
struct TargetTask {
  std::string id;
  std::string target;
  std::string store_id, store_name;
  std::variant<ConfirmRuns, ForgetRun, LookForSchemaLocks, AdoptTarget, ReadRuns> request;
};
struct ConfirmedRun {
  RunId id;
  std::string outcome;  // "open" or an outcome of the ledger
  double finish_age_seconds = 0;
};
struct ConfirmedRuns {
  std::vector<ConfirmedRun> runs;
  bool truncated = false;
};
struct ForgottenRun {
  int64_t images = 0;
  int64_t shards = 0;
};
// What says that a schema migration is at work.
struct SchemaLock {
  std::string text;  // "Rails' migration lock is held by pid 4711 (application puma)"
  int pid = 0;       // 0 = no session holds it
  std::string application_name;
};
using SchemaLocks = std::vector<SchemaLock>;
struct AdoptedTarget {
  struct Run {
    std::string id, name, outcome;
  };
  std::string former_store_id, former_store_name;  // empty: it had none
  std::vector<Run> runs;                           // an undo behind the run that it takes back
};
// A run as the ledger has it.
struct LedgerRun {
  std::string id, name, digest, definition, parameters_json, started_at;
  std::string outcome;  // "open" or an outcome of the ledger
  double finish_age_seconds = 0;
  std::string undoes, supersedes, note;
  int64_t task_epoch = 0, rows_left = 0, rows_total = 0, rows_changed = 0;
  bool forgotten = false;
};
struct LedgerRuns {
  std::vector<LedgerRun> runs;  // as many of those asked for as fit into an answer
};
using TargetTaskResult =
    std::variant<ConfirmedRuns, ForgottenRun, SchemaLocks, AdoptedTarget, LedgerRuns, Problem>;
struct TargetTaskAnswer {
  TargetIdentity from;  // without a system identifier: no server could be asked
  TargetTaskResult result;
};

struct SplitReport {
  ShardId parent;
  Epoch epoch;
  KeyText middle;
  ShardId child;
  KeyText child_upper;
  int64_t parent_rows_total = 0;
  int64_t child_rows_total = 0;
};

}  // namespace dunlin::agent
