#pragma once

#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/pg/types.h"
#include "common/secret.h"

struct pg_conn;  // libpq's PGconn; libpq-fe.h stays out of headers

namespace dunlin::pg {

struct Command;
struct Outcome;

// Watches the calls of connections, and may cut one off as the death of the process would: `dunlin
// test` interrupts a migration at every step by it. Thread safety: called from any thread.
class CallWatch {
 public:
  virtual ~CallWatch() = default;
  // False: the connection breaks before anything is sent.
  virtual bool MayCall(const std::vector<Command>& commands) = 0;
  // False: it breaks when the server has done its work, and the answers are lost.
  virtual bool MayAnswer(const std::vector<Command>& commands,
                         const std::vector<Outcome>& outcomes) = 0;
};

// How to connect. Everything here wins over PG* environment variables and the connection string.
struct ConnectOptions {
  absl::Duration connect_timeout = absl::Seconds(10);
  std::string application_name = "dunlin";
  bool read_write = true;  // target_session_attrs=read-write
  // SET at connect, in this order, as (name, value): see session.h.
  std::vector<std::pair<std::string, std::string>> settings;
  // Behind a pooler in transaction mode, each transaction may be on another session of the server:
  // `settings` and application_name are set in each, for it alone, and nothing is prepared by name.
  bool pooled = false;
  // Outlives the connection. nullptr = nobody watches, as in every process that works.
  CallWatch* watch = nullptr;
};

// Bound of one call. Every network wait ends: by the answer, by the timeout, or by `stop`.
struct CallOptions {
  // Client-side deadline, COMMIT included (trap 17). When it passes the connection is closed: what
  // was sent is in doubt.
  absl::Duration timeout = absl::Seconds(30);
  // When requested: the server is asked to cancel, and the call ends within a second, CANCELLED.
  std::stop_token stop = {};
};

// One entry of a pipeline.
struct Command {
  Statement statement;
  std::vector<Value> parameters;
  // A synchronization point after it: later commands run even if this one failed (and form a
  // transaction of their own unless one is open).
  bool sync_after = false;
};

struct Outcome {
  absl::Status
      status;     // ABORTED with reason PIPELINE_ABORTED: not run, because an earlier one failed
  Result result;  // when status is OK
};

// One connection to PostgreSQL by libpq's non-blocking calls: PQsend* + poll(), never PQexec.
//
// Thread safety: one thread at a time; Cancel() from any.
// Blocking: every call ends within its CallOptions.timeout.
// Errors: from the server: code by SQLSTATE class with a ServerError payload (error.h has the
// table). UNAVAILABLE with IsConnectionLost(): the connection broke; DEADLINE_EXCEEDED with
// IsConnectionLost(): the client-side deadline passed. In both cases the object is of no use any
// more. Messages name host, port and database, never a password or a row value (I8, trap 25).
class Connection {
 public:
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const Secret& dsn,
                                                             const ConnectOptions& options,
                                                             std::stop_token stop = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One statement in one round trip; a named one is prepared with its first use, in the same round
  // trip.
  absl::StatusOr<Result> Execute(const Statement& statement,
                                 const std::vector<Value>& parameters = {},
                                 const CallOptions& options = {});
  // Unnamed, for statements that run once.
  absl::StatusOr<Result> Query(absl::string_view sql, const std::vector<Value>& parameters = {},
                               const CallOptions& options = {});
  // Several SQL commands in one text, without parameters (schema files), as one implicit
  // transaction. The simple protocol.
  absl::Status ExecuteScript(absl::string_view sql, const CallOptions& options = {});

  // All commands in one write to the network, outcomes in order, always as many as commands
  // (pipeline mode, PG manual 34.5). Never fails as a whole: a lost connection is the status of
  // every command without an answer.
  std::vector<Outcome> RunPipeline(const std::vector<Command>& commands,
                                   const CallOptions& options = {});

  // Prepares without executing, to learn whether the server takes the statement; result columns of
  // a describe in `columns`.
  absl::StatusOr<Result> Describe(const Statement& statement, const CallOptions& options = {});

  // Two halves of Execute(), so that another connection can be used while this one waits (a claim
  // behind a hung owner).
  absl::Status Send(const Statement& statement, const std::vector<Value>& parameters);
  // nullopt: not answered within `timeout`; call again.
  absl::StatusOr<std::optional<Result>> Receive(absl::Duration timeout);

  // A setting from now on, whatever it was at the start. Behind a pooler of each transaction, for
  // it alone: what a session keeps there, an application finds. Not in a transaction.
  absl::Status Set(absl::string_view name, const std::string& value,
                   const CallOptions& options = {});

  // Behind a pooler the server may change between two transactions: from now on each holds this
  // condition (SQL), or does nothing and the connection counts as lost. Elsewhere a connection ends
  // with its server, and this does nothing.
  void Require(absl::string_view condition_sql);

  // Notices since the last call (SQLSTATEs, the latest hundred), for what a server said before it
  // went.
  std::vector<std::string> TakeNoticeSqlStates();

  bool broken() const;  // lost or closed by a deadline
  // What the connection was told at its start; behind a pooler the pid of no process.
  int backend_pid() const;
  int server_version() const;  // 150018
  // "postgresql at 10.0.0.5:5432, database app": for messages.
  const std::string& description() const;
  // In a transaction, or in a failed one, as of the last answer.
  bool in_transaction() const;

  std::string QuoteIdentifier(absl::string_view name) const;  // by libpq (PQescapeIdentifier)
  std::string QuoteLiteral(absl::string_view text) const;     // by libpq (PQescapeLiteral)

  // libpq-level details, hidden.
  struct Impl;

 private:
  explicit Connection(std::unique_ptr<Impl> impl);
  absl::Status SetUp(const std::vector<std::pair<std::string, std::string>>& settings,
                     absl::Duration timeout, std::stop_token stop);
  std::vector<Outcome> RunUnwatched(const std::vector<Command>& commands,
                                    const CallOptions& options);
  std::vector<Outcome> RunPooled(const std::vector<Command>& commands, const CallOptions& options);
  std::vector<Outcome> RunSent(const std::vector<Command>& commands, const CallOptions& options);
  std::unique_ptr<Impl> impl_;
};

// Checks a connection string without connecting. INVALID_ARGUMENT without quoting it (libpq's own
// message echoes the password, trap 25).
absl::Status ValidateDsn(const Secret& dsn);
// The same server, role and settings, another database. INVALID_ARGUMENT as ValidateDsn.
absl::StatusOr<Secret> WithDatabase(const Secret& dsn, const std::string& database);
// What it names, for messages: "host:port/database", no secret; best effort.
std::string DescribeDsn(const Secret& dsn);

}  // namespace dunlin::pg
