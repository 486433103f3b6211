#include "coordinator/store/store.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pg/session.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/schema_files.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

constexpr absl::Duration kConnectionWait = absl::Seconds(3);
constexpr int kMaxTries = 5;
// An agent that comes with many targets of which nothing is known yet.
constexpr int kMaxTargetsNoted = 1000;
constexpr int kSchemaVersion = std::size(kSchemaFiles);

pg::ConnectOptions SessionOptions() {
  pg::SessionPins pins;
  pins.application_name = "dunlin/coordinator";
  pins.lock_timeout = absl::Seconds(3);
  pins.statement_timeout = absl::Seconds(5);
  pins.idle_in_transaction_timeout = absl::Seconds(5);
  pins.force_custom_plan = false;
  pg::ConnectOptions options = pg::MakeSessionOptions(pins);
  options.connect_timeout = absl::Seconds(2);
  return options;
}

bool MayTryAgain(const absl::Status& status) {
  const std::optional<pg::ServerError> error = pg::GetServerError(status);
  if (!error) return false;
  // Two calls with one request id at the same time: the second finds the first one's answer.
  if (error->sqlstate == "23505") return error->table == "request";
  return error->sqlstate == "40001" || error->sqlstate == "40P01";
}

// Values that PostgreSQL cannot read (an id that is no uuid …) are the caller's mistake.
bool IsCallersMistake(absl::string_view sqlstate) { return absl::StartsWith(sqlstate, "22"); }

}  // namespace

Store::Store(StoreOptions options)
    : options_(std::move(options)),
      name_(pg::DescribeDsn(options_.dsn)),
      pool_(options_.dsn, SessionOptions(), options_.connections_max) {}

absl::Duration Store::heartbeat_interval() const {
  return std::min(absl::Milliseconds(500), options_.lease_ttl / 6);
}

absl::Status StoreUnreachable(const std::string& name, const absl::Status& why) {
  return WithReason(
      absl::UnavailableError(absl::StrCat("the store ", name, " cannot be reached (", why.message(),
                                          "); the coordinator tries again")),
      "STORE_UNREACHABLE");
}

absl::Status Store::InTransaction(const Body& body, bool read_only) {
  Backoff backoff(absl::Milliseconds(5), absl::Milliseconds(100), Random01);
  absl::Status status;
  int stale = 0, noted = 0;
  std::optional<agent_pb::TargetIdentity> moved;
  for (int tried = 0; tried < kMaxTries; ++tried) {
    if (moved) DUNLIN_RETURN_IF_ERROR(NoteTarget(*std::exchange(moved, std::nullopt)));
    absl::StatusOr<pg::Pool::Loan> loan = pool_.Acquire(kConnectionWait);
    if (absl::IsResourceExhausted(loan.status()) && !pg::GetServerError(loan.status()))
      return loan.status();
    if (!loan.ok()) return StoreUnreachable(name_, loan.status());
    pg::Connection& connection = **loan;
    Transaction tx(connection);
    status = connection.Query(read_only ? sql::kBeginReadOnly : sql::kBegin).status();
    if (pg::IsConnectionLost(status) && stale++ < options_.connections_max) {
      --tried;  // pooled from before the store's restart: nothing was sent, the next may be new
      continue;
    }
    if (status.ok()) status = body(tx);
    if (status.ok()) {
      const absl::StatusOr<pg::Result> committed = connection.Query("COMMIT");
      status = committed.status();
      // The request id finds out what became of it.
      if (status.ok() && committed->command_tag != "COMMIT")
        status = absl::UnavailableError("the store rolled the transaction back");
    } else if (!connection.broken()) {
      const absl::Status rolled_back = connection.Query("ROLLBACK").status();
      if (!rolled_back.ok())
        LOG(WARNING) << Event("store_rollback_failed").Kv("why", rolled_back.message());
    }
    if (pg::IsConnectionLost(status)) return StoreUnreachable(name_, status);
    moved = MovedTargetOf(status);
    if (moved && noted++ < kMaxTargetsNoted) {
      --tried;
      continue;
    }
    if (!MayTryAgain(status)) break;
    SystemClock().SleepFor(backoff.Next(), {});
  }
  // A raw error of the store's SQL is a bug or a full disk: said as such, not as an answer to the
  // caller's request.
  if (const auto error = pg::GetServerError(status)) {
    if (IsCallersMistake(error->sqlstate)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a value of the request is malformed: ", error->message));
    }
    return absl::UnavailableError(absl::StrCat("the store ", name_, " failed: ", error->message));
  }
  return status;
}

absl::Status Store::LoadStoreId(Transaction& tx) {
  {
    MutexLock lock(mutex_);
    if (!store_id_.empty()) return absl::OkStatus();
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, tx.Query(sql::kStoreId));
  MutexLock lock(mutex_);
  store_id_ = result.Text(0, 0);
  return absl::OkStatus();
}

absl::Status Store::CheckSchema() {
  absl::StatusOr<pg::Pool::Loan> loan = pool_.Acquire(kConnectionWait);
  if (!loan.ok()) return StoreUnreachable(name_, loan.status());
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result exists,
                          (*loan)->Query("SELECT to_regclass('dunlin_store.meta') IS NOT NULL"));
  if (!exists.Bool(0, 0))
    return absl::NotFoundError(absl::StrCat("there is no Dunlin store in ", name_));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          (*loan)->Query("SELECT version FROM dunlin_store.meta"));
  return CheckVersion(found.Int(0, 0));
}

absl::Status Store::CheckVersion(int64_t version) const {
  if (version <= kSchemaVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the store ", name_, " has schema version ",
                                                    version, ", this program knows ",
                                                    kSchemaVersion, "; use a newer one"));
}

// Numbered files, forward-only, each in a transaction with the version it leads to, under a lock
// that replicas starting together take in turn.
absl::Status Store::MigrateSchema() {
  absl::StatusOr<pg::Pool::Loan> loan = pool_.Acquire(kConnectionWait);
  if (!loan.ok()) return StoreUnreachable(name_, loan.status());
  pg::Connection& connection = **loan;
  std::string script =
      "BEGIN; SELECT pg_advisory_xact_lock(7305809122113402);\n"
      "CREATE SCHEMA IF NOT EXISTS dunlin_store;\n"
      "CREATE TABLE IF NOT EXISTS dunlin_store.meta (one boolean PRIMARY KEY DEFAULT true CHECK "
      "(one), "
      "version integer NOT NULL, store_id uuid NOT NULL DEFAULT gen_random_uuid());\n"
      "INSERT INTO dunlin_store.meta (version) VALUES (0) ON CONFLICT DO NOTHING; COMMIT;";
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result exists,
                          connection.Query("SELECT to_regclass('dunlin_store.meta') IS NOT NULL"));
  if (!exists.Bool(0, 0)) DUNLIN_RETURN_IF_ERROR(connection.ExecuteScript(script));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection.Query("SELECT version FROM dunlin_store.meta"));
  const int64_t version = found.Int(0, 0);
  DUNLIN_RETURN_IF_ERROR(CheckVersion(version));
  for (int64_t next = version; next < kSchemaVersion; ++next) {
    const EmbeddedFile& file = kSchemaFiles[next];
    const std::string step = absl::StrCat(
        "BEGIN; SELECT pg_advisory_xact_lock(7305809122113402);\nDO $guard$ BEGIN IF (SELECT "
        "version FROM dunlin_store.meta) <> ",
        next,
        " THEN RAISE EXCEPTION USING ERRCODE = 'DN010', MESSAGE = 'upgraded by another'; END IF; "
        "END $guard$;\n",
        file.text, "\nUPDATE dunlin_store.meta SET version = ", next + 1, ";\nCOMMIT;");
    const absl::Status applied = connection.ExecuteScript(step, {.timeout = absl::Minutes(5)});
    if (pg::SqlStateOf(applied) == "DN010") continue;  // another replica was quicker
    if (!applied.ok())
      return Annotate(applied, absl::StrCat("upgrading the store with ", file.name));
    LOG(INFO) << Event("store_upgraded").Kv("file", file.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Store::ResolveRun(Transaction& tx, const std::string& run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result by_id, tx.Query(sql::kRunByIdText, {run}));
  if (!by_id.rows.empty()) return by_id.Text(0, 0);
  const size_t at = run.find('@');
  const std::string name = run.substr(0, at);
  const std::string target = at == std::string::npos ? "" : run.substr(at + 1);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kRunByName, {name, target}));
  if (found.rows.size() == 1) return found.Text(0, 0);
  if (found.rows.empty()) {
    return WithReason(absl::NotFoundError(absl::StrCat(
                          "no run of '", run, "' is known; `dunlin list` shows what there is")),
                      "RUN_NOT_FOUND");
  }
  std::vector<std::string> candidates;
  for (size_t row = 0; row < found.rows.size(); ++row)
    candidates.push_back(absl::StrCat(found.Text(row, 1), "@", found.Text(row, 2)));
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          "'", run, "' may be one of several runs; say which: ", absl::StrJoin(candidates, ", "))),
      "RUN_AMBIGUOUS");
}

absl::Status Store::SweepRun(const std::string& run_id) {
  return InTransaction([&](Transaction& tx) -> absl::Status {
    DUNLIN_ASSIGN_OR_RETURN(std::optional<RunEditor> locked, RunEditor::TryLock(tx, run_id));
    if (!locked) return absl::OkStatus();  // another replica is at it
    RunEditor& run = *locked;
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result expired,
                            tx.Query(sql::kExpireShards, {run_id, absl::StrCat(run.revision + 1)}));
    for (size_t row = 0; row < expired.rows.size(); ++row) {
      DUNLIN_RETURN_IF_ERROR(
          run.Emit({.kind = "lease_expired", .shard = expired.Text(row, 0), .audit = false}));
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result tasks, tx.Query(sql::kExpireTasks, {run_id}));
    for (size_t row = 0; row < tasks.rows.size(); ++row) {
      DUNLIN_RETURN_IF_ERROR(
          run.Emit({.kind = "lease_expired", .new_value = tasks.Text(row, 0), .audit = false}));
    }
    DUNLIN_RETURN_IF_ERROR(CheckCanary(tx, run));
    DUNLIN_RETURN_IF_ERROR(EndThrottle(tx, run));
    DUNLIN_RETURN_IF_ERROR(UpdatePace(tx, run));
    DUNLIN_RETURN_IF_ERROR(run.Settle());
    return run.Save();
  });
}

absl::Status Store::Sweep(bool whole) {
  std::vector<std::string> runs;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kRunsToSweep, {Bool(whole)}));
    runs.clear();
    for (size_t row = 0; row < found.rows.size(); ++row) runs.push_back(found.Text(row, 0));
    return absl::OkStatus();
  }));
  // One run that cannot be swept must not keep the others from it.
  absl::Status first;
  for (const std::string& run : runs) {
    const absl::Status swept = SweepRun(run);
    if (first.ok() && !swept.ok()) first = Annotate(swept, absl::StrCat("sweeping run ", run));
    if (absl::IsUnavailable(swept)) break;
  }
  return first;
}

absl::Status Store::Prune() {
  std::vector<std::string> runs;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kPruneRequests));
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kPruneAgents));
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kPruneTargetTasks));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kAllRuns));
    runs.clear();
    for (size_t row = 0; row < found.rows.size(); ++row) runs.push_back(found.Text(row, 0));
    return absl::OkStatus();
  }));
  for (const std::string& id : runs) {
    DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(const std::optional<RunEditor> locked, RunEditor::TryLock(tx, id));
      if (!locked) return absl::OkStatus();
      DUNLIN_ASSIGN_OR_RETURN(const pg::Result gone, tx.Query(sql::kPruneEvents, {id}));
      return tx.Run(sql::kSetOldest, {id, absl::StrCat(gone.Int(0, 0))});
    }));
  }
  return absl::OkStatus();
}

absl::Status RevokeLeases(Transaction& tx, RunEditor& run, const std::string& lease_id,
                          const std::string& why) {
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result shards,
      tx.Query(sql::kRevokeShards, {run.id, absl::StrCat(run.revision + 1), lease_id}));
  for (size_t row = 0; row < shards.rows.size(); ++row) {
    DUNLIN_RETURN_IF_ERROR(run.Emit(
        {.kind = "lease_revoked", .reason = why, .shard = shards.Text(row, 0), .audit = false}));
  }
  return tx.Run(sql::kRevokeTasks, {run.id, lease_id});
}

absl::Status Store::RevokeAllLeases(const std::string& reason) {
  return InTransaction([&](Transaction& tx) -> absl::Status {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result runs, tx.Query(sql::kRunsWithLeases));
    for (size_t row = 0; row < runs.rows.size(); ++row) {
      DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, runs.Text(row, 0)));
      DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, "", reason));
      DUNLIN_RETURN_IF_ERROR(run.Settle());
      DUNLIN_RETURN_IF_ERROR(run.Save());
    }
    return absl::OkStatus();
  });
}

absl::Status CheckCanary(Transaction& tx, RunEditor& run) {
  if (run.stop_after_rows <= 0 || run.state != RunState::kRunning) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result rows, tx.Query(sql::kRowsDone, {run.id}));
  if (rows.Int(0, 0) - run.stop_after_base < run.stop_after_rows) return absl::OkStatus();
  run.reason = absl::StrCat("stopped after ", rows.Int(0, 0) - run.stop_after_base,
                            " rows, as asked (--stop-after ", run.stop_after_rows, ")");
  return run.ChangeState(RunState::kPausing, {.reason = run.reason});
}

}  // namespace dunlin::coordinator
