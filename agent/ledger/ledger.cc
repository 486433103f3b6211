#include "agent/ledger/ledger.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger_mutants.h"
#include "agent/ledger/statements.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::agent {
namespace {

// Rows of schema dunlin may be waited for this long: no application waits behind us.
constexpr absl::Duration kClaimLockTimeout = absl::Milliseconds(500);
constexpr absl::Duration kClaimWait = absl::Seconds(10);

// 01000 "canceling wait for synchronous replication" while it committed. Of that command alone:
// plain warnings, as a trigger or a login may raise them, have the same SQLSTATE.
bool DurableHereOnly(const pg::Result& committed) {
  return std::find(committed.notices.begin(), committed.notices.end(), "01000") !=
         committed.notices.end();
}

absl::StatusOr<ClaimedShard> DecodeClaim(const pg::Result& result) {
  ClaimedShard claimed;
  const std::vector<pg::Value>& row = result.rows[0];
  DUNLIN_ASSIGN_OR_RETURN(claimed.lower, DecodeKey(row[0]));
  DUNLIN_ASSIGN_OR_RETURN(claimed.upper, DecodeKey(row[1]));
  DUNLIN_ASSIGN_OR_RETURN(claimed.checkpoint.cursor, DecodeKey(row[2]));
  claimed.checkpoint.seq = result.Int(0, 3);
  claimed.done = result.Bool(0, 4);
  claimed.checkpoint.rows_done = result.Int(0, 5);
  claimed.checkpoint.rows_changed = result.Int(0, 6);
  claimed.rows_total = result.Int(0, 7);
  claimed.collations = result.Text(0, 8);
  return claimed;
}

// Why a claim matched no row. A read, but only to name the trouble: what follows is a fresh grant
// or a reconcile.
absl::StatusOr<Problem> WhyNotClaimed(pg::Connection& connection, const RunSpec& run,
                                      const ShardWork& shard) {
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result state,
      connection.Execute(sql::kShardState, {shard.id.value(), run.digest, EncodeKey(shard.lower),
                                            EncodeKey(shard.upper)}));
  Problem problem;
  if (!state.rows.empty() && state.Int(0, 0) >= shard.epoch.value()) {
    problem.kind = Problem::Kind::kStaleEpoch;
    problem.ledger_epoch = Epoch(state.Int(0, 0));
    problem.message = absl::StrCat("the ledger is at epoch ", state.Int(0, 0), " of this shard");
  } else {
    problem.kind = Problem::Kind::kLedgerMismatch;
    problem.message = "the ledger has no such shard of this run with these bounds";
  }
  return problem;
}

// The claim is waiting behind another transaction for longer than lock_timeout: the former owner's
// backend hangs. Wait again, and meanwhile end it from a second connection.
absl::StatusOr<pg::Result> ClaimBehindHungOwner(pg::Connection& connection,
                                                const SessionFactory& sessions,
                                                const std::vector<pg::Value>& parameters,
                                                const ShardWork& shard,
                                                const std::function<bool()>& may_terminate,
                                                std::stop_token stop) {
  DUNLIN_ASSIGN_OR_RETURN(const std::unique_ptr<pg::Connection> second,
                          sessions.OpenForTask(absl::Seconds(2), "", stop));
  DUNLIN_RETURN_IF_ERROR(connection.Send(sql::kClaim, parameters));
  const absl::Duration deadline = SystemClock().Monotonic() + kClaimWait;
  while (true) {
    absl::StatusOr<std::optional<pg::Result>> answer = connection.Receive(absl::Milliseconds(50));
    if (!answer.ok()) return answer.status();
    if (answer->has_value()) return **std::move(answer);
    if (SystemClock().Monotonic() > deadline || stop.stop_requested()) break;
    if (!may_terminate()) continue;
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result ended,
        second->Execute(sql::kTerminateBlockers,
                        {ShardPrefix(shard.id), absl::StrCat(shard.epoch.value())}));
    if (ended.Int(0, 0) > 0) {
      LOG(WARNING) << Event("hung_owner_terminated").Kv("shard", shard.id).Kv("epoch", shard.epoch);
    }
  }
  return absl::DeadlineExceededError("the claim waited too long for the ledger's row");
}

absl::StatusOr<std::vector<QuarantinedRow>> DecodeQuarantined(const pg::Result& result) {
  std::vector<QuarantinedRow> rows;
  for (size_t row = 0; row < result.rows.size(); ++row) {
    const std::vector<pg::Value>& columns = result.rows[row];
    QuarantinedRow one{.id = result.Text(row, 0),
                       .shard = ShardId(result.Text(row, 1)),
                       .step = static_cast<int>(result.Int(row, 2)),
                       .relation = result.Text(row, 3),
                       .rows = result.Int(row, 6),
                       .sqlstate = result.Text(row, 7),
                       .constraint = result.Text(row, 8),
                       .table = result.Text(row, 9),
                       .tries = static_cast<int>(result.Int(row, 10)),
                       .accepted = result.Text(row, 11) == "accepted",
                       .accepted_by = result.Text(row, 12),
                       .accepted_reason = result.Text(row, 13),
                       .failed_at = DecodeTime(columns[14]),
                       .tried_at = DecodeTime(columns[15])};
    DUNLIN_ASSIGN_OR_RETURN(const OptionalKey names, DecodeKey(columns[4]));
    DUNLIN_ASSIGN_OR_RETURN(const OptionalKey key, DecodeKey(columns[5]));
    one.key_columns = names->Reveal();
    one.key = *key;
    rows.push_back(std::move(one));
  }
  return rows;
}

}  // namespace

absl::Time DecodeTime(const pg::Value& seconds) {
  double number = 0;
  return seconds && absl::SimpleAtod(*seconds, &number) ? absl::UnixEpoch() + absl::Seconds(number)
                                                        : absl::InfinitePast();
}

pg::Value EncodeKey(const OptionalKey& key) {
  if (!key) return std::nullopt;
  return pg::EncodeTextArray(key->Reveal());
}

absl::StatusOr<OptionalKey> DecodeKey(const pg::Value& value) {
  if (!value) return OptionalKey();
  std::vector<pg::Value> columns;
  DUNLIN_RETURN_IF_ERROR(pg::DecodeTextArray(*value, columns));
  std::vector<std::string> texts;
  for (pg::Value& column : columns) {
    if (!column) return absl::DataLossError("a key in the ledger has a NULL column");
    texts.push_back(*std::move(column));
  }
  return OptionalKey(KeyText(std::move(texts)));
}

absl::StatusOr<std::variant<ClaimedShard, Problem>> ClaimShard(
    pg::Connection& connection, const SessionFactory& sessions, const RunSpec& run,
    const ShardWork& shard, const std::function<bool()>& may_terminate, std::stop_token stop) {
  DUNLIN_RETURN_IF_ERROR(DUNLIN_FAULT("agent.claim.before"));
  const std::vector<pg::Value> parameters = {
      shard.id.value(),
      absl::StrCat(shard.epoch.value()),
      run.id.value(),
      run.digest,
      shard.relation.empty() ? pg::Value() : pg::Value(shard.relation),
      EncodeKey(shard.lower),
      EncodeKey(shard.upper)};
  const pg::CallOptions options{.timeout = absl::Seconds(15), .stop = stop};
  // Statement by statement, each its own transaction: the claim commits alone, with
  // synchronous_commit on.
  const auto set_lock_timeout = [&](absl::Duration timeout) {
    return connection.Set("lock_timeout", absl::StrCat(absl::ToInt64Milliseconds(timeout)),
                          options);
  };
  DUNLIN_RETURN_IF_ERROR(set_lock_timeout(kClaimLockTimeout));
  DUNLIN_ASSIGN_OR_RETURN(const std::optional<pg::Result> instead,
                          ClaimAsMutant(connection, parameters));
  absl::StatusOr<pg::Result> result =
      instead ? *instead : connection.Execute(sql::kClaim, parameters, options);
  if (pg::SqlStateOf(result.status()) == "55P03") {
    DUNLIN_RETURN_IF_ERROR(set_lock_timeout(kClaimWait));
    result = ClaimBehindHungOwner(connection, sessions, parameters, shard, may_terminate, stop);
  }
  if (!result.ok()) return result.status();
  DUNLIN_RETURN_IF_ERROR(set_lock_timeout(RowLockTimeout()));
  // A claim that waited may have looked at the run before it waited; this looks behind it.
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result open,
                          connection.Execute(sql::kRunIsOpen, {run.id.value()}, options));
  if (result->rows.empty() || !open.Bool(0, 0)) {
    DUNLIN_ASSIGN_OR_RETURN(Problem problem, WhyNotClaimed(connection, run, shard));
    return std::variant<ClaimedShard, Problem>(std::move(problem));
  }
  if (DurableHereOnly(*result))
    return absl::UnavailableError("the claim is not known to be replicated");
  DUNLIN_RETURN_IF_ERROR(DUNLIN_FAULT("agent.claim.after"));
  DUNLIN_ASSIGN_OR_RETURN(ClaimedShard claimed, DecodeClaim(*result));
  return std::variant<ClaimedShard, Problem>(std::move(claimed));
}

absl::StatusOr<TargetIdentity> ReadIdentity(pg::Connection& connection, const std::string& target,
                                            const pg::CallOptions& options) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, connection.Execute(sql::kIdentity, {}, options));
  return TargetIdentity{.target = target,
                        .system_identifier = result.Text(0, 0),
                        .timeline = static_cast<int>(result.Int(0, 1))};
}

std::string IsServerSql(const pg::Connection& connection, const TargetIdentity& server) {
  return absl::StrCat("(", connection.QuoteLiteral(server.system_identifier), "::text, ",
                      server.timeline, ") = (", sql::kIdentity.sql, ")");
}

absl::StatusOr<std::vector<LedgerShard>> DecodeLedgerShards(const pg::Result& result) {
  std::vector<LedgerShard> shards;
  for (size_t row = 0; row < result.rows.size(); ++row) {
    const std::vector<pg::Value>& columns = result.rows[row];
    LedgerShard shard;
    shard.id = ShardId(result.Text(row, 0));
    shard.step = static_cast<int>(result.Int(row, 1));
    shard.relation = columns[2].value_or("");
    DUNLIN_ASSIGN_OR_RETURN(shard.lower, DecodeKey(columns[3]));
    DUNLIN_ASSIGN_OR_RETURN(shard.upper, DecodeKey(columns[4]));
    shard.epoch = Epoch(result.Int(row, 5));
    shard.checkpoint.seq = result.Int(row, 6);
    DUNLIN_ASSIGN_OR_RETURN(shard.checkpoint.cursor, DecodeKey(columns[7]));
    shard.checkpoint.rows_done = result.Int(row, 8);
    shard.checkpoint.rows_changed = result.Int(row, 9);
    shard.done = result.Bool(row, 10);
    shard.rows_total = result.Int(row, 11);
    shards.push_back(std::move(shard));
  }
  return shards;
}

absl::StatusOr<std::vector<LedgerShard>> ListLedgerShards(pg::Connection& connection,
                                                          const RunId& run, int step) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(sql::kShardsOfRun, {run.value(), absl::StrCat(step)}));
  return DecodeLedgerShards(result);
}

absl::StatusOr<std::vector<QuarantinedRow>> ListQuarantined(pg::Connection& connection,
                                                            const ShardId& shard) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(sql::kQuarantineOfShard, {shard.value()}));
  return DecodeQuarantined(result);
}

absl::StatusOr<QuarantineResult> ReadQuarantine(pg::Connection& connection, const RunId& run) {
  QuarantineResult quarantine;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result rows,
                          connection.Execute(sql::kQuarantineOfRun, {run.value()}));
  DUNLIN_ASSIGN_OR_RETURN(quarantine.rows, DecodeQuarantined(rows));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result retried,
                          connection.Execute(sql::kRowsRetried, {run.value()}));
  quarantine.rows_retried = retried.Int(0, 0);
  return quarantine;
}

absl::Status CheckCommitted(const pg::Outcome& commit) {
  DUNLIN_RETURN_IF_ERROR(commit.status);
  // COMMIT of a failed transaction answers success with the tag ROLLBACK.
  if (commit.result.command_tag != "COMMIT" && !DUNLIN_MUTANT("commit_tag_not_read")) {
    return absl::AbortedError("the transaction was rolled back by the server");
  }
  if (DurableHereOnly(commit.result))
    return absl::UnavailableError("the commit is not known to be replicated");
  return absl::OkStatus();
}

absl::Status RunTransaction(pg::Connection& connection, const std::vector<pg::Command>& commands,
                            std::vector<pg::Result>* results, const pg::CallOptions& options) {
  std::vector<pg::Command> all;
  all.reserve(commands.size() + 2);
  all.push_back({.statement = {"d_begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"}});
  all.insert(all.end(), commands.begin(), commands.end());
  all.push_back({.statement = {"d_commit", "COMMIT"}});
  const std::vector<pg::Outcome> outcomes = connection.RunPipeline(all, options);
  for (size_t i = 0; i + 1 < outcomes.size(); ++i) {
    if (outcomes[i].status.ok()) continue;
    if (!connection.broken()) {
      const absl::Status rolled_back = connection.Query("ROLLBACK").status();
      if (!rolled_back.ok()) return rolled_back;
    }
    return outcomes[i].status;
  }
  DUNLIN_RETURN_IF_ERROR(CheckCommitted(outcomes.back()));
  if (results != nullptr) {
    results->clear();
    for (size_t i = 1; i + 1 < outcomes.size(); ++i) results->push_back(outcomes[i].result);
  }
  return absl::OkStatus();
}

}  // namespace dunlin::agent
