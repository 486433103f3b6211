#include "agent/ledger/session.h"

#include "absl/strings/str_cat.h"

#include "common/fault.h"

namespace dunlin::agent {
namespace {

// Between the two round trips of a batch the agent may be stopped (SIGSTOP, a paused VM) with row
// locks held; the server then ends the session, so that the locks last no longer than a batch may.
constexpr absl::Duration kIdleInTransaction = absl::Milliseconds(800);
constexpr absl::Duration kShardStatementTimeout = absl::Seconds(5);

// Of a session that runs batches.
pg::SessionPins BatchPins(const std::string& application_name, const std::string& search_path) {
  pg::SessionPins pins;
  pins.application_name = application_name;
  pins.search_path = search_path;
  pins.lock_timeout = RowLockTimeout();
  pins.statement_timeout = kShardStatementTimeout;
  pins.idle_in_transaction_timeout = kIdleInTransaction;
  return pins;
}

}  // namespace

absl::Duration RowLockTimeout() {
  constexpr absl::Duration kLockTimeout = absl::Milliseconds(100);
  return DUNLIN_MUTANT("no_lock_timeout") ? absl::ZeroDuration() : kLockTimeout;
}

std::string ShardPrefix(const ShardId& shard) { return shard.value().substr(0, 8); }

absl::StatusOr<std::unique_ptr<pg::Connection>> SessionFactory::OpenForShard(
    const std::string& migration, const ShardId& shard, Epoch epoch, const std::string& search_path,
    std::stop_token stop) const {
  const std::string version = migration.substr(0, migration.find('_'));
  return Open(
      BatchPins(absl::StrCat("dunlin/", version, "/", ShardPrefix(shard), "/", epoch.value()),
                search_path),
      stop);
}

absl::StatusOr<std::unique_ptr<pg::Connection>> SessionFactory::OpenForTask(
    absl::Duration statement_timeout, const std::string& search_path, std::stop_token stop) const {
  pg::SessionPins pins;
  pins.application_name = "dunlin/agent";
  pins.search_path = search_path;
  pins.lock_timeout = absl::Seconds(2);  // tasks lock rows of schema dunlin only
  pins.statement_timeout = statement_timeout;
  return Open(pins, stop);
}

absl::StatusOr<std::unique_ptr<pg::Connection>> SessionFactory::OpenForCheck(
    std::stop_token stop) const {
  return Open(BatchPins("dunlin/check", "public, pg_temp"), stop);
}

absl::StatusOr<std::unique_ptr<pg::Connection>> SessionFactory::Open(const pg::SessionPins& pins,
                                                                     std::stop_token stop) const {
  pg::ConnectOptions options = pg::MakeSessionOptions(pins);
  options.pooled = pooled_;
  options.watch = watch_;
  return pg::Connection::Connect(dsn_, options, stop);
}

}  // namespace dunlin::agent
