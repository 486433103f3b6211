// The ledger protocol's verbs, over one connection each. What makes I1 to I5 true is here and in
// schema/0001_ledger.sql; docs/the-ledger.md tells why.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "agent/lease.h"
#include "agent/ledger/session.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// A key as text[] for the ledger; NULL when absent.
pg::Value EncodeKey(const OptionalKey& key);
absl::StatusOr<OptionalKey> DecodeKey(const pg::Value& value);
// Seconds since 1970 as the server prints them.
absl::Time DecodeTime(const pg::Value& seconds);

// What a claim returned: the only thing that the agent works with from then on, whatever the grant
// said.
struct ClaimedShard {
  OptionalKey lower;
  OptionalKey upper;
  Checkpoint checkpoint;
  bool done = false;
  int64_t rows_total = 0;
  std::string collations;  // as recorded at plan (trap 21)
};

// Claims `shard` for its epoch. Waits for a batch in flight of the former owner; when that one's
// backend hangs, it is terminated (only while `may_terminate()`, and only a backend that blocks the
// claim right now). Answers a Problem (kStaleEpoch, kLedgerMismatch) when the claim matches no row.
// Error statuses: as of the connection; when the connection was lost the claim is in doubt: a fresh
// grant settles it.
absl::StatusOr<std::variant<ClaimedShard, Problem>> ClaimShard(
    pg::Connection& connection, const SessionFactory& sessions, const RunSpec& run,
    const ShardWork& shard, const std::function<bool()>& may_terminate, std::stop_token stop);

// Which server this is: system identifier and timeline.
absl::StatusOr<TargetIdentity> ReadIdentity(pg::Connection& connection, const std::string& target,
                                            const pg::CallOptions& options = {});

// SQL that is true on that server alone.
std::string IsServerSql(const pg::Connection& connection, const TargetIdentity& server);

// Shards of a run as the ledger has them, in one statement. `step` -1 = all.
absl::StatusOr<std::vector<LedgerShard>> ListLedgerShards(pg::Connection& connection,
                                                          const RunId& run, int step);
absl::StatusOr<std::vector<LedgerShard>> DecodeLedgerShards(const pg::Result& result);

// What is set aside of a shard, or of a run, and not done, in one statement.
absl::StatusOr<std::vector<QuarantinedRow>> ListQuarantined(pg::Connection& connection,
                                                            const ShardId& shard);
absl::StatusOr<QuarantineResult> ReadQuarantine(pg::Connection& connection, const RunId& run);

// Runs BEGIN, `commands` and COMMIT in one pipeline, synchronously durable. OK = the tag was COMMIT
// and nothing said otherwise. A failure before COMMIT is rolled back and returned; a lost
// connection is in doubt. Outcomes of `commands` in `results`.
absl::Status RunTransaction(pg::Connection& connection, const std::vector<pg::Command>& commands,
                            std::vector<pg::Result>* results, const pg::CallOptions& options = {});

// Whether an answer to COMMIT says that the transaction is durable: tag `COMMIT`, no "already
// committed locally".
absl::Status CheckCommitted(const pg::Outcome& commit);

}  // namespace dunlin::agent
