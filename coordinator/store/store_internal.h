// What the store's files share; nothing for others.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"

#include "common/key_text.h"
#include "common/pg/types.h"
#include "coordinator/logic/failover.h"
#include "coordinator/store/run_editor.h"
#include "coordinator/store/store.h"
#include "coordinator/store/transaction.h"

namespace dunlin::coordinator {

// 0 of NULL.
double Number(const pg::Value& value);
absl::Status StoreUnreachable(const std::string& name, const absl::Status& why);
// Compares what an agent says of a target with what the store knows. When the target is at another
// server by now the transaction has to end: ABORTED with MovedTargetOf(); InTransaction() then
// notes it, and runs the transaction again.
absl::StatusOr<IdentityVerdict> CheckTarget(Transaction& tx, const std::string& target,
                                            const agent_pb::TargetIdentity& seen);
std::optional<agent_pb::TargetIdentity> MovedTargetOf(const absl::Status& status);
// Those of an agent's targets where it may work: reachable, and at the latest server.
absl::StatusOr<std::vector<std::string>> ReachableTargets(
    Transaction& tx, const google::protobuf::RepeatedPtrField<agent_pb::TargetIdentity>& targets);
// Whether a report about a run counts: one from an earlier timeline, or from another server, does
// not. Behind the run's lock. CheckTarget()'s error.
absl::StatusOr<bool> CheckReporter(Transaction& tx, const RunEditor& run,
                                   const agent_pb::TargetIdentity& from);
// Revokes one lease of a run, or all ("").
absl::Status RevokeLeases(Transaction& tx, RunEditor& run, const std::string& lease_id,
                          const std::string& why);
// Pauses a run that has done as many rows as --stop-after asked for.
absl::Status CheckCanary(Transaction& tx, RunEditor& run);
// Slow start, throttled reasons and the rate of a run.
absl::Status UpdatePace(Transaction& tx, RunEditor& run);
// The signals of its target as a run sees them, when it is RUNNING.
absl::Status AddSignals(Transaction& tx, pb::Run* run, const Definition& definition);

// Gives back what `dunlin throttle --for` changed, when its time has passed.
absl::Status EndThrottle(Transaction& tx, RunEditor& run);
// "throttled by anna: concurrency 1, until …"; empty = not.
absl::StatusOr<std::string> ThrottledBy(Transaction& tx, const RunEditor& run);

// Pauses a run too many of whose rows fail.
absl::Status CheckQuarantine(Transaction& tx, RunEditor& run);

// The row of a shard by its lease; ABORTED when the lease is another's. Locks the run.
struct LockedShard {
  RunEditor run;
  std::string id;
  pg::Value upper;
  int64_t epoch = 0;
  bool counts = true;  // CheckReporter()
};
absl::StatusOr<LockedShard> LockShardOfLease(Transaction& tx, const std::string& lease_id,
                                             const agent_pb::TargetIdentity& from);
// The same for a report, which names the shard and epoch that it is about: ABORTED when the lease
// is for another, or the report does not count.
absl::StatusOr<LockedShard> LockShard(Transaction& tx, const std::string& lease_id,
                                      const std::string& shard_id, int64_t epoch,
                                      const agent_pb::TargetIdentity& from);
absl::Status LeaseLost();
// FAILED_PRECONDITION when something else has taken the run's place.
absl::Status MayResume(Transaction& tx, const RunEditor& run);
// A command that does not fit the run's state: what is the matter, and what to do.
absl::Status WrongState(const RunEditor& run, absl::string_view what, absl::string_view next);

// After PAUSED, FAILED and CANCELLED: to PENDING, from where the checkpoints go on. Settles and
// saves, whatever the state is.
absl::Status GoOn(Transaction& tx, RunEditor& run, const RunEditor::EventText& why,
                  int64_t stop_after_rows = 0);
absl::Status ReadRunInto(Transaction& tx, const std::string& id, pb::Run* run);
// Of a list; INVALID_ARGUMENT when negative.
absl::StatusOr<int> PageSize(int asked);

// What keeps a PENDING run from its preflight; an empty sentence = nothing.
struct RunWait {
  std::string sentence;
  bool needs_person = false;  // it does not pass by itself
};
absl::StatusOr<RunWait> WhatRunWaitsFor(Transaction& tx, const std::string& run_id,
                                        const std::string& target, const Definition& definition);
// The same of a run that needs nothing but an agent.
absl::StatusOr<RunWait> WaitForAgent(Transaction& tx, const std::string& target);
// FAILED_PRECONDITION, reason NO_AGENT, with what starts one, unless one is connected.
absl::Status RequireAgent(Transaction& tx, const std::string& target);
// "start one: dunlin-agent …"
std::string StartAnAgent(const std::string& target);

// This lease's share of the run's limits, as they are now.
absl::Status FillDirectiveLimits(Transaction& tx, const RunEditor& run,
                                 agent_pb::WorkLimits* limits);

// text[] ↔ the protocol's keys; NULL = absent.
pg::Value KeyToArray(bool present, const agent_pb::Key& key);
absl::Status ArrayToColumns(const pg::Value& array, std::vector<std::string>& columns);

absl::StatusOr<std::map<std::string, std::string>> ParseParameters(const std::string& json);

absl::StatusOr<std::string> ParametersToJson(const std::map<std::string, std::string>& parameters);

std::string DurationText(absl::Duration duration);  // seconds, for SQL
// A boolean as a parameter.
inline std::string Bool(bool value) { return value ? "true" : "false"; }
void SetDuration(absl::Duration duration, google::protobuf::Duration* out);

// A run's row as operators see it; `row` of sql::kReadRun or kListRuns.
absl::Status DecodeRun(const pg::Result& result, size_t row, pb::Run* run);
// The same, with the signals of a RUNNING one if asked.
absl::Status DecodeRunInto(Transaction& tx, const pg::Result& result, size_t row, bool with_signals,
                           pb::Run* run);
absl::Status DecodeShard(const pg::Result& result, size_t row, pb::Shard* shard);
void DecodeEvent(const pg::Result& result, size_t row, pb::RunEvent* event);

}  // namespace dunlin::coordinator
