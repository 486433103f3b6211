// What the store's files share; nothing for others.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"

#include "common/key_text.h"
#include "common/pg/types.h"
#include "coordinator/store/run_editor.h"
#include "coordinator/store/store.h"
#include "coordinator/store/transaction.h"

namespace dunlin::coordinator {

absl::Status StoreUnreachable(const std::string& name, const absl::Status& why);
// Revokes one lease of a run, or all ("").
absl::Status RevokeLeases(Transaction& tx, RunEditor& run, const std::string& lease_id,
                          const std::string& why);
// Pauses a run that has done as many rows as --stop-after asked for.
absl::Status CheckCanary(Transaction& tx, RunEditor& run);
// Slow start, throttled reasons and the rate of a run.
absl::Status UpdatePace(Transaction& tx, RunEditor& run);

// This lease's share of the run's limits, as they are now.
absl::Status FillDirectiveLimits(Transaction& tx, const RunEditor& run,
                                 agent_pb::WorkLimits* limits);

// text[] ↔ the protocol's keys; NULL = absent.
pg::Value KeyToArray(bool present, const agent_pb::Key& key);
absl::Status ArrayToColumns(const pg::Value& array, std::vector<std::string>& columns);

absl::StatusOr<std::map<std::string, std::string>> ParseParameters(const std::string& json);

absl::StatusOr<std::string> ParametersToJson(const std::map<std::string, std::string>& parameters);

std::string DurationText(absl::Duration duration);  // seconds, for SQL
void SetDuration(absl::Duration duration, google::protobuf::Duration* out);

// A run's row as operators see it; `row` of sql::kReadRun or kListRuns.
absl::Status DecodeRun(const pg::Result& result, size_t row, pb::Run* run);
absl::Status DecodeShard(const pg::Result& result, size_t row, pb::Shard* shard);
void DecodeEvent(const pg::Result& result, size_t row, pb::RunEvent* event);

}  // namespace dunlin::coordinator
