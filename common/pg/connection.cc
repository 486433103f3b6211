#include "common/pg/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include <libpq-fe.h>

#include "common/call_fault.h"
#include "common/clock.h"
#include "common/pg/call_label.h"
#include "common/pg/error.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::pg {
namespace {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

// Waits are cut into slices, so that a stop is noticed soon.
constexpr absl::Duration kSlice = absl::Milliseconds(100);
// How long a cancelled call may take to end.
constexpr absl::Duration kCancelGrace = absl::Seconds(1);

absl::Duration Now() { return SystemClock().Monotonic(); }

std::string FieldOf(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? std::string() : std::string(text);
}

absl::Status StatusOf(const PGresult* result) {
  return MakeServerStatus({.sqlstate = FieldOf(result, PG_DIAG_SQLSTATE),
                           .message = FieldOf(result, PG_DIAG_MESSAGE_PRIMARY),
                           .schema = FieldOf(result, PG_DIAG_SCHEMA_NAME),
                           .table = FieldOf(result, PG_DIAG_TABLE_NAME),
                           .column = FieldOf(result, PG_DIAG_COLUMN_NAME),
                           .constraint = FieldOf(result, PG_DIAG_CONSTRAINT_NAME)});
}

Result Copy(const PGresult* result) {
  Result out;
  const int columns = PQnfields(result);
  const int rows = PQntuples(result);
  for (int column = 0; column < columns; ++column)
    out.columns.emplace_back(PQfname(result, column));
  out.rows.reserve(static_cast<size_t>(rows));
  for (int row = 0; row < rows; ++row) {
    std::vector<Value> values;
    values.reserve(static_cast<size_t>(columns));
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.emplace_back(std::nullopt);
      } else {
        values.emplace_back(std::string(PQgetvalue(result, row, column),
                                        static_cast<size_t>(PQgetlength(result, row, column))));
      }
    }
    out.rows.push_back(std::move(values));
  }
  out.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
  const char* affected = PQcmdTuples(const_cast<PGresult*>(result));
  if (*affected != '\0' && !absl::SimpleAtoi(affected, &out.rows_affected)) out.rows_affected = 0;
  return out;
}

// Parameters in the form that libpq takes; keeps pointers into `values`.
std::vector<const char*> Pointers(const std::vector<Value>& values) {
  std::vector<const char*> pointers;
  pointers.reserve(values.size());
  for (const Value& value : values) pointers.push_back(value ? value->c_str() : nullptr);
  return pointers;
}

bool KnownSetting(absl::string_view name, int server_version) {
  if (name == "client_connection_check_interval") return server_version >= 140000;
  if (name == "plan_cache_mode") return server_version >= 120000;
  if (name == "jit") return server_version >= 110000;
  return true;
}

}  // namespace

struct Connection::Impl {
  PGconn* pg = nullptr;
  bool broken = false;
  std::string description;
  CallFault fault;  // how the call in work fails, in tests
  std::set<std::string> prepared;
  std::vector<std::string> notices;             // since they were last taken
  std::vector<std::string> notices_of_command;  // of the one in work
  CallWatch* watch = nullptr;
  // Behind a pooler: the settings of a transaction, and as its first statement, with what Require()
  // asks for. Empty = not pooled.
  std::vector<std::pair<std::string, std::string>> pooled_settings;
  std::string required;
  std::string transaction_settings;
  absl::Status first_error;
  // Of Send(), so far.
  std::optional<Result> received;

  ~Impl() {
    if (pg != nullptr) PQfinish(pg);
  }

  static void OnNotice(void* self, const PGresult* result) {
    constexpr size_t kMaxNotices = 100;  // a trigger may raise one per row
    Impl& impl = *static_cast<Impl*>(self);
    for (std::vector<std::string>* notices : {&impl.notices, &impl.notices_of_command}) {
      if (notices->size() == kMaxNotices) notices->erase(notices->begin());
      notices->push_back(FieldOf(result, PG_DIAG_SQLSTATE));
    }
  }

  const char* session() const { return PQparameterStatus(pg, "application_name"); }

  absl::Status Lost(absl::StatusCode code, absl::string_view why) {
    broken = true;
    return MakeConnectionLost(code, absl::StrCat("the connection to ", description, " ", why));
  }
  // As if this process had died: the server learns it at once and rolls back.
  absl::Status CutOff() {
    shutdown(PQsocket(pg), SHUT_RDWR);
    return LostByServer();
  }
  absl::Status LostByServer() { return Lost(absl::StatusCode::kUnavailable, "was lost"); }

  // Waits until the socket is readable (or writable); false when the slice passed.
  absl::StatusOr<bool> Poll(bool want_write, absl::Duration wait) {
    if (fault.Hangs() && !want_write) {
      SystemClock().SleepFor(wait, {});
      return false;
    }
    pollfd fd{.fd = PQsocket(pg),
              .events = static_cast<short>(POLLIN | (want_write ? POLLOUT : 0)),
              .revents = 0};
    if (fd.fd < 0) return LostByServer();
    const int ready =
        poll(&fd, 1, static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(wait))));
    return ready > 0;
  }

  // Sends what is queued, reading meanwhile, so that neither side's buffer can block both.
  absl::Status Flush(absl::Duration deadline) {
    while (true) {
      const int left = PQflush(pg);
      if (left < 0) return LostByServer();
      if (left == 0) return absl::OkStatus();
      const absl::Duration wait = deadline - Now();
      if (wait <= absl::ZeroDuration())
        return Lost(absl::StatusCode::kDeadlineExceeded, "took no data in time");
      DUNLIN_ASSIGN_OR_RETURN(const bool ready, Poll(true, std::min(wait, kSlice)));
      if (ready && PQconsumeInput(pg) == 0) return LostByServer();
    }
  }

  void RequestCancel() {
    PGcancel* cancel = PQgetCancel(pg);
    if (cancel == nullptr) return;
    char error[256];
    // The answer of the cancelled statement tells whether it worked.
    PQcancel(cancel, error, sizeof(error));
    PQfreeCancel(cancel);
  }

  std::string Literal(absl::string_view text) const {
    char* literal = PQescapeLiteral(pg, text.data(), text.size());
    std::string out = literal == nullptr ? "''" : literal;
    PQfreemem(literal);
    return out;
  }
  // What the settings' statement fails with when a condition of Require() does not hold.
  absl::Status Explained(const absl::Status& status) {
    if (transaction_settings.empty() || SqlStateOf(status) != "22012") return status;
    return Lost(absl::StatusCode::kUnavailable, "leads to another server than before");
  }
  void MakeTransactionSettings() {
    const auto quoted = [this](const std::string& text) { return Literal(text); };
    std::string sql = "SELECT ";
    for (const auto& [name, value] : pooled_settings) {
      absl::StrAppend(&sql, sql.size() > 7 ? ", " : "", "pg_catalog.set_config(", quoted(name),
                      ", ", quoted(value), ", true)");
    }
    transaction_settings = absl::StrCat(sql, required);
  }

  // One command whose answer is awaited apart: Enter, PQsend…, End, then TakeReceived.
  absl::Status EnterPipeline() {
    if (broken || PQenterPipelineMode(pg) != 1) return LostByServer();
    received.reset();
    notices_of_command.clear();
    first_error = absl::OkStatus();
    if (transaction_settings.empty() || PQtransactionStatus(pg) == PQTRANS_INTRANS)
      return absl::OkStatus();
    if (PQsendQueryParams(pg, transaction_settings.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                          0) != 1) {
      return LostByServer();
    }
    return absl::OkStatus();
  }
  absl::Status EndPipeline(absl::Duration deadline) {
    if (PQpipelineSync(pg) != 1) return LostByServer();
    return Flush(deadline);
  }
  // The last answer before the synchronization point, or the first error. nullopt: not there by
  // `deadline`; when it is `must` the connection is closed instead.
  absl::StatusOr<std::optional<Result>> TakeReceived(absl::Duration deadline,
                                                     const std::stop_token& stop, bool must) {
    bool cancelled = false;
    while (true) {
      if (must) {
        DUNLIN_RETURN_IF_ERROR(WaitForResult(deadline, stop, cancelled));
      } else {
        DUNLIN_ASSIGN_OR_RETURN(const bool there, WaitUntil(deadline));
        if (!there) return std::optional<Result>();
      }
      ResultPtr result(PQgetResult(pg), &PQclear);
      if (PQstatus(pg) == CONNECTION_BAD) return first_error.ok() ? LostByServer() : first_error;
      if (result == nullptr) continue;  // the end of one command's results
      const ExecStatusType status = PQresultStatus(result.get());
      if (status == PGRES_PIPELINE_SYNC) break;
      if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        received = Copy(result.get());
      } else if (status != PGRES_PIPELINE_ABORTED && first_error.ok()) {
        first_error = StatusOf(result.get());
      }
    }
    if (PQexitPipelineMode(pg) != 1) return LostByServer();
    DUNLIN_RETURN_IF_ERROR(Explained(std::exchange(first_error, absl::OkStatus())));
    if (received) received->notices = std::exchange(notices_of_command, {});
    return std::exchange(received, std::nullopt);
  }
  // False: nothing can be taken by then.
  absl::StatusOr<bool> WaitUntil(absl::Duration deadline) {
    while (PQisBusy(pg) != 0 || fault.Hangs()) {
      const absl::Duration wait = deadline - Now();
      if (wait <= absl::ZeroDuration()) return false;
      DUNLIN_ASSIGN_OR_RETURN(const bool ready, Poll(false, std::min(wait, kSlice)));
      // What came before the end (57P01 …) is still there to be read; the first error counts.
      if (ready && PQconsumeInput(pg) == 0 && PQisBusy(pg) != 0) return LostByServer();
    }
    return true;
  }

  // Waits until a result can be taken without blocking.
  absl::Status WaitForResult(absl::Duration& deadline, const std::stop_token& stop,
                             bool& cancelled) {
    while (PQisBusy(pg) != 0 || fault.Hangs()) {
      if (stop.stop_requested() && !cancelled) {
        cancelled = true;
        RequestCancel();
        deadline = std::min(deadline, Now() + kCancelGrace);
      }
      DUNLIN_ASSIGN_OR_RETURN(const bool there, WaitUntil(std::min(deadline, Now() + kSlice)));
      if (there || Now() < deadline) continue;
      if (cancelled)
        return Lost(absl::StatusCode::kCancelled,
                    "was closed while a statement was being cancelled");
      return Lost(absl::StatusCode::kDeadlineExceeded, "did not answer in time and was closed");
    }
    return absl::OkStatus();
  }
};

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() = default;

namespace {

absl::Status PollConnect(PGconn* pg, const CallFault& fault, absl::Duration deadline,
                         const std::stop_token& stop, bool& timed_out) {
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while ((state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) || fault.Hangs()) {
    const absl::Duration wait = deadline - Now();
    if (wait <= absl::ZeroDuration()) {
      timed_out = true;
      return absl::DeadlineExceededError("no answer in time");
    }
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (state == PGRES_POLLING_OK || state == PGRES_POLLING_FAILED) {
      SystemClock().SleepFor(wait, stop);
      continue;
    }
    pollfd fd{.fd = PQsocket(pg),
              .events = static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT),
              .revents = 0};
    if (fd.fd >= 0 &&
        poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(std::min(wait, kSlice)))) == 0)
      continue;
    state = PQconnectPoll(pg);
  }
  return state == PGRES_POLLING_OK ? absl::OkStatus() : absl::UnavailableError("");
}

constexpr const char* kRefused = "Connection refused";

absl::Status CannotConnect(const std::string& description, absl::string_view why, bool refused) {
  const std::string message =
      absl::StrCat("cannot connect to ", description, ": ", why,
                   "; check that the server runs and that host, port and network are right");
  return refused ? MakeConnectionRefused(message) : absl::UnavailableError(message);
}

// Why a connection was refused, without anything secret: with verbosity SQLSTATE the server's own
// refusals are five characters; else the system's reason is the tail of libpq's sentence.
absl::Status RefusedStatus(PGconn* pg, const std::string& description) {
  const std::string message = PQerrorMessage(pg);
  const size_t at = message.rfind("FATAL:");
  if (at != std::string::npos) {
    const std::string rest = message.substr(at + 6);
    const size_t begin = rest.find_first_not_of(' ');
    const std::string state = begin == std::string::npos ? "" : rest.substr(begin, 5);
    const size_t colon = rest.find(": ");
    std::string text = colon == std::string::npos ? "" : rest.substr(colon + 2);
    text = text.substr(0, text.find('\n'));
    absl::Status refused = MakeServerStatus({.sqlstate = state, .message = text});
    return Annotate(refused, absl::StrCat("cannot connect to ", description));
  }
  std::string why = "no answer";
  for (const char* known :
       {kRefused, "No such file or directory", "could not translate host name",
        "Network is unreachable", "No route to host", "timeout expired", "no password supplied",
        "server closed the connection", "session is read-only", "Permission denied",
        "Connection reset", "SSL"}) {
    if (absl::StrContains(message, known)) why = known;
  }
  // Any one of several hosts.
  return CannotConnect(description, why, absl::StrContains(message, kRefused));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Connect(const Secret& dsn,
                                                                const ConnectOptions& options,
                                                                std::stop_token stop) {
  DUNLIN_RETURN_IF_ERROR(ValidateDsn(dsn));
  const char* const keywords[] = {"dbname",
                                  "application_name",
                                  "target_session_attrs",
                                  "keepalives",
                                  "keepalives_idle",
                                  "keepalives_interval",
                                  "keepalives_count",
                                  "tcp_user_timeout",
                                  "client_encoding",
                                  nullptr};
  const char* const values[] = {dsn.Reveal().c_str(),
                                options.application_name.c_str(),
                                options.read_write ? "read-write" : "any",
                                "1",
                                "10",
                                "5",
                                "3",
                                "15000",
                                "UTF8",
                                nullptr};
  auto impl = std::make_unique<Impl>();
  impl->description = absl::StrCat("PostgreSQL at ", DescribeDsn(dsn));
  impl->fault = DUNLIN_CALL("libpq.connect", CallLabel(options.application_name, ""));
  if (impl->fault.Before()) return CannotConnect(impl->description, kRefused, true);
  impl->pg = PQconnectStartParams(keywords, values, 1);
  if (impl->pg == nullptr) return absl::ResourceExhaustedError("out of memory");
  PQsetErrorVerbosity(impl->pg, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(impl->pg, &Impl::OnNotice, impl.get());
  bool timed_out = false;
  const absl::Status polled = PollConnect(
      impl->pg, impl->fault, Now() + impl->fault.Bound(options.connect_timeout), stop, timed_out);
  if (impl->fault.After())
    return CannotConnect(impl->description, "server closed the connection", false);
  if (absl::IsCancelled(polled)) return polled;
  if (timed_out) {
    return absl::UnavailableError(absl::StrCat(
        "cannot connect to ", impl->description, ": no answer within ",
        absl::FormatDuration(options.connect_timeout), "; check host, port and network"));
  }
  if (!polled.ok()) return RefusedStatus(impl->pg, impl->description);
  if (PQsetnonblocking(impl->pg, 1) != 0) return impl->LostByServer();
  const int version = PQserverVersion(impl->pg);
  auto connection = std::unique_ptr<Connection>(new Connection(std::move(impl)));
  std::vector<std::pair<std::string, std::string>> settings;
  std::copy_if(options.settings.begin(), options.settings.end(), std::back_inserter(settings),
               [&](const auto& setting) { return KnownSetting(setting.first, version); });
  if (options.pooled) {
    settings.emplace_back("application_name", options.application_name);
    connection->impl_->pooled_settings = std::move(settings);
    connection->impl_->MakeTransactionSettings();
  } else {
    DUNLIN_RETURN_IF_ERROR(connection->SetUp(settings, options.connect_timeout, stop));
  }
  connection->impl_->watch = options.watch;
  return connection;
}

absl::Status Connection::SetUp(const std::vector<std::pair<std::string, std::string>>& settings,
                               absl::Duration timeout, std::stop_token stop) {
  std::vector<Command> commands;
  for (const auto& [name, value] : settings) {
    commands.push_back({.statement = {.name = "", .sql = "SELECT set_config($1, $2, false)"},
                        .parameters = {name, value}});
  }
  if (commands.empty()) return absl::OkStatus();
  commands.push_back({.statement = {.name = "", .sql = "SELECT pg_catalog.pg_backend_pid()"}});
  const std::vector<Outcome> outcomes = RunPipeline(commands, {.timeout = timeout, .stop = stop});
  for (const Outcome& outcome : outcomes) {
    if (!outcome.status.ok()) return Annotate(outcome.status, "setting up the session");
  }
  if (outcomes.back().result.Int(0, 0) != backend_pid()) {
    return absl::FailedPreconditionError(
        absl::StrCat(impl_->description,
                     " is behind a connection pooler, where the settings of a session may be lost: "
                     "connect directly, or give the target to the agent as --target-pooled "
                     "NAME=DSN"));
  }
  return absl::OkStatus();
}

std::vector<Outcome> Connection::RunPipeline(const std::vector<Command>& commands,
                                             const CallOptions& options) {
  CallWatch* const watch = impl_->watch;
  if (watch == nullptr) return RunUnwatched(commands, options);
  if (!watch->MayCall(commands)) return {commands.size(), Outcome{.status = impl_->CutOff()}};
  std::vector<Outcome> outcomes = RunUnwatched(commands, options);
  if (watch->MayAnswer(commands, outcomes)) return outcomes;
  return {commands.size(), Outcome{.status = impl_->CutOff()}};
}

std::vector<Outcome> Connection::RunUnwatched(const std::vector<Command>& commands,
                                              const CallOptions& options) {
  return impl_->transaction_settings.empty() ? RunSent(commands, options)
                                             : RunPooled(commands, options);
}

std::vector<Outcome> Connection::RunPooled(const std::vector<Command>& commands,
                                           const CallOptions& options) {
  const Command settings{.statement = {.name = "", .sql = impl_->transaction_settings}};
  std::vector<Command> sent;
  std::vector<size_t> positions;             // of `commands` in `sent`
  std::vector<std::optional<size_t>> under;  // the settings sent for the transaction of each
  bool begins = !in_transaction();
  std::optional<size_t> current;
  const auto set = [&] {
    current = sent.size();
    sent.push_back(settings);
  };
  for (const Command& command : commands) {
    const bool begin = begins && absl::StartsWith(command.statement.sql, "BEGIN");
    if (begins && !begin) set();
    positions.push_back(sent.size());
    sent.push_back(command);
    sent.back().statement.name.clear();
    if (begin) set();
    under.push_back(current);
    begins = command.sync_after;
  }
  std::vector<Outcome> answers = RunSent(sent, options);
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < commands.size(); ++i) {
    outcomes.push_back(std::move(answers[positions[i]]));
    // Why the transaction did not run.
    if (under[i] && !answers[*under[i]].status.ok())
      outcomes.back().status = impl_->Explained(answers[*under[i]].status);
  }
  return outcomes;
}

std::vector<Outcome> Connection::RunSent(const std::vector<Command>& commands,
                                         const CallOptions& options) {
  std::vector<Outcome> outcomes(commands.size());
  const auto fail_from = [&](size_t first, const absl::Status& status) {
    for (size_t i = first; i < outcomes.size(); ++i) outcomes[i].status = status;
    return outcomes;
  };
  Impl& c = *impl_;
  if (c.broken) return fail_from(0, c.LostByServer());
  c.fault = DUNLIN_CALL("libpq.pipeline", CallLabel(c.session(), commands));
  if (c.fault.Before()) return fail_from(0, c.LostByServer());
  absl::Duration deadline = Now() + c.fault.Bound(options.timeout);
  if (PQenterPipelineMode(c.pg) != 1) return fail_from(0, c.LostByServer());
  c.notices_of_command.clear();  // of a login or a script

  // What is expected back, in order: prepares, commands, synchronization points.
  struct Expected {
    enum class Kind { kPrepare, kCommand, kSync } kind;
    size_t command;
  };
  std::vector<Expected> expected;
  std::set<std::string> preparing;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Statement& statement = commands[i].statement;
    const std::vector<const char*> values = Pointers(commands[i].parameters);
    const int count = static_cast<int>(values.size());
    const int types = static_cast<int>(statement.parameter_types.size());
    int sent = 1;
    if (statement.name.empty()) {
      std::vector<Oid> padded = statement.parameter_types;
      padded.resize(values.size(), 0);
      sent = PQsendQueryParams(c.pg, statement.sql.c_str(), count, padded.data(), values.data(),
                               nullptr, nullptr, 0);
    } else {
      if (!c.prepared.contains(statement.name) && preparing.insert(statement.name).second) {
        sent = PQsendPrepare(c.pg, statement.name.c_str(), statement.sql.c_str(), types,
                             statement.parameter_types.data());
        expected.push_back({Expected::Kind::kPrepare, i});
      }
      if (sent == 1) {
        sent = PQsendQueryPrepared(c.pg, statement.name.c_str(), count, values.data(), nullptr,
                                   nullptr, 0);
      }
    }
    expected.push_back({Expected::Kind::kCommand, i});
    if (sent == 1 && (commands[i].sync_after || i + 1 == commands.size())) {
      sent = PQpipelineSync(c.pg);
      expected.push_back({Expected::Kind::kSync, i});
    }
    if (sent != 1) return fail_from(0, c.LostByServer());
    // Long pipelines: keep both directions flowing.
    if (i % 256 == 255 && (PQflush(c.pg) < 0 || PQconsumeInput(c.pg) == 0))
      return fail_from(0, c.LostByServer());
  }
  if (const absl::Status flushed = c.Flush(deadline); !flushed.ok()) return fail_from(0, flushed);

  bool cancelled = false;
  std::vector<absl::Status> prepare_errors(commands.size());
  for (size_t at = 0; at < expected.size();) {
    const Expected& want = expected[at];
    if (const absl::Status waited = c.WaitForResult(deadline, options.stop, cancelled);
        !waited.ok()) {
      // Commands that were answered keep their answers.
      return fail_from(
          want.kind == Expected::Kind::kSync ? want.command + 1 : want.command,
          c.first_error.ok() ? waited : std::exchange(c.first_error, absl::OkStatus()));
    }
    ResultPtr result(PQgetResult(c.pg), &PQclear);
    if (result == nullptr) {
      if (PQstatus(c.pg) == CONNECTION_BAD) return fail_from(want.command, c.LostByServer());
      continue;  // the end of one command's results
    }
    const ExecStatusType status = PQresultStatus(result.get());
    Outcome& outcome = outcomes[want.command];
    if (want.kind == Expected::Kind::kSync) {
      // Of a statement without BEGIN and COMMIT, the transaction ends here: with a warning, or not
      // at all.
      if (status == PGRES_PIPELINE_SYNC) {
        for (std::string& notice : std::exchange(c.notices_of_command, {}))
          outcome.result.notices.push_back(std::move(notice));
        ++at;
      } else if (outcome.status.ok()) {
        outcome.status = StatusOf(result.get());
      }
      continue;
    }
    // Whatever the next command raises comes behind its BindComplete, which libpq leaves until this
    // result was taken.
    std::vector<std::string> notices = std::exchange(c.notices_of_command, {});
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
      if (want.kind == Expected::Kind::kPrepare) {
        c.prepared.insert(commands[want.command].statement.name);
      } else {
        outcome.result = Copy(result.get());
        outcome.result.notices = std::move(notices);
      }
    } else if (status == PGRES_PIPELINE_ABORTED) {
      const absl::Status aborted = WithReason(
          absl::AbortedError("not run: an earlier statement failed"), "PIPELINE_ABORTED");
      if (prepare_errors[want.command].ok()) {
        outcome.status = aborted;
      } else {
        outcome.status = prepare_errors[want.command];
      }
    } else {
      const absl::Status error =
          PQstatus(c.pg) == CONNECTION_BAD && FieldOf(result.get(), PG_DIAG_SQLSTATE).empty()
              ? c.LostByServer()
              : StatusOf(result.get());
      if (PQstatus(c.pg) == CONNECTION_BAD ||
          GetServerError(error).value_or(ServerError{}).sqlstate.substr(0, 3) == "57P" ||
          SqlStateOf(error) == "25P03") {
        // The server says good-bye: the first error counts, the rest is in doubt.
        c.broken = true;
        absl::Status lost = error;
        lost.SetPayload("dunlin/pg-lost", absl::Cord("1"));
        return fail_from(want.command, lost);
      }
      if (want.kind == Expected::Kind::kPrepare) {
        prepare_errors[want.command] = error;
        outcome.status = error;
      } else {
        outcome.status =
            cancelled ? Annotate(absl::CancelledError("stopped"), error.message()) : error;
      }
    }
    ++at;
    if (want.kind == Expected::Kind::kCommand || want.kind == Expected::Kind::kPrepare) {
      // Take the NULL that ends this command's results; it is there already, or comes with the next
      // wait.
    }
  }
  if (PQexitPipelineMode(c.pg) != 1) {
    // Only possible when results were left: a bug, or a dying connection.
    const absl::Status lost = c.LostByServer();
    return fail_from(0, lost);
  }
  if (c.fault.After()) return fail_from(0, c.LostByServer());
  return outcomes;
}

absl::StatusOr<Result> Connection::Execute(const Statement& statement,
                                           const std::vector<Value>& parameters,
                                           const CallOptions& options) {
  std::vector<Outcome> outcomes =
      RunPipeline({{.statement = statement, .parameters = parameters}}, options);
  DUNLIN_RETURN_IF_ERROR(outcomes[0].status);
  return std::move(outcomes[0].result);
}

absl::StatusOr<Result> Connection::Query(absl::string_view sql,
                                         const std::vector<Value>& parameters,
                                         const CallOptions& options) {
  return Execute({.name = "", .sql = std::string(sql)}, parameters, options);
}

absl::Status Connection::ExecuteScript(absl::string_view sql, const CallOptions& options) {
  Impl& c = *impl_;
  if (c.broken) return c.LostByServer();
  c.fault = DUNLIN_CALL("libpq.script", CallLabel(c.session(), sql));
  if (c.fault.Before()) return c.LostByServer();
  absl::Duration deadline = Now() + c.fault.Bound(options.timeout);
  // All of one text is one transaction, up to a COMMIT in it.
  const std::string text =
      absl::StrCat(c.transaction_settings.empty() ? "" : c.transaction_settings + ";\n", sql);
  if (PQsendQuery(c.pg, text.c_str()) != 1) return c.LostByServer();
  DUNLIN_RETURN_IF_ERROR(c.Flush(deadline));
  absl::Status first_error;
  bool cancelled = false;
  while (true) {
    DUNLIN_RETURN_IF_ERROR(c.WaitForResult(deadline, options.stop, cancelled));
    ResultPtr result(PQgetResult(c.pg), &PQclear);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
      continue;
    if (first_error.ok()) first_error = StatusOf(result.get());
    if (PQstatus(c.pg) == CONNECTION_BAD) return c.LostByServer();
  }
  if (c.fault.After()) return c.LostByServer();
  if (!first_error.ok() && in_transaction()) {
    DUNLIN_RETURN_IF_ERROR(Query("ROLLBACK").status());
  }
  return first_error;
}

absl::StatusOr<Result> Connection::Describe(const Statement& statement,
                                            const CallOptions& options) {
  Impl& c = *impl_;
  if (c.broken) return c.LostByServer();
  c.fault = DUNLIN_CALL("libpq.describe", CallLabel(c.session(), statement.sql));
  if (c.fault.Before()) return c.LostByServer();
  const absl::Duration timeout = c.fault.Bound(options.timeout);
  DUNLIN_RETURN_IF_ERROR(c.EnterPipeline());
  if (PQsendPrepare(c.pg, "", statement.sql.c_str(),
                    static_cast<int>(statement.parameter_types.size()),
                    statement.parameter_types.data()) != 1 ||
      PQsendDescribePrepared(c.pg, "") != 1) {
    return c.LostByServer();
  }
  DUNLIN_RETURN_IF_ERROR(c.EndPipeline(Now() + timeout));
  DUNLIN_ASSIGN_OR_RETURN(std::optional<Result> described,
                          c.TakeReceived(Now() + timeout, options.stop, true));
  if (c.fault.After()) return c.LostByServer();
  return *std::move(described);
}

absl::Status Connection::Send(const Statement& statement, const std::vector<Value>& parameters) {
  Impl& c = *impl_;
  if (c.broken) return c.LostByServer();
  c.fault = DUNLIN_CALL("libpq.send", CallLabel(c.session(), statement.sql));
  if (c.fault.Before()) return c.LostByServer();
  DUNLIN_RETURN_IF_ERROR(c.EnterPipeline());
  const std::vector<const char*> values = Pointers(parameters);
  std::vector<Oid> types = statement.parameter_types;
  types.resize(values.size(), 0);
  if (PQsendQueryParams(c.pg, statement.sql.c_str(), static_cast<int>(values.size()), types.data(),
                        values.data(), nullptr, nullptr, 0) != 1) {
    return c.LostByServer();
  }
  return c.EndPipeline(Now() + absl::Seconds(10));
}

absl::StatusOr<std::optional<Result>> Connection::Receive(absl::Duration timeout) {
  Impl& c = *impl_;
  DUNLIN_ASSIGN_OR_RETURN(std::optional<Result> received,
                          c.TakeReceived(Now() + timeout, {}, false));
  if (received.has_value() && c.fault.After()) return c.LostByServer();
  return received;
}

void Connection::Require(absl::string_view condition_sql) {
  if (impl_->transaction_settings.empty()) return;
  absl::StrAppend(&impl_->required, ", 1 / (", condition_sql, ")::int");
  impl_->MakeTransactionSettings();
}

absl::Status Connection::Set(absl::string_view name, const std::string& value,
                             const CallOptions& options) {
  Impl& c = *impl_;
  if (c.transaction_settings.empty()) {
    return Query("SELECT set_config($1, $2, false)", {std::string(name), value}, options).status();
  }
  const auto known = std::find_if(c.pooled_settings.begin(), c.pooled_settings.end(),
                                  [&](const auto& setting) { return setting.first == name; });
  if (known == c.pooled_settings.end()) {
    c.pooled_settings.emplace_back(name, value);
  } else {
    known->second = value;
  }
  c.MakeTransactionSettings();
  return absl::OkStatus();
}

std::vector<std::string> Connection::TakeNoticeSqlStates() {
  return std::exchange(impl_->notices, {});
}

bool Connection::broken() const {
  if (impl_->broken || PQstatus(impl_->pg) == CONNECTION_BAD) return true;
  if (PQtransactionStatus(impl_->pg) != PQTRANS_IDLE) return false;
  // Readable while nothing is asked: the server has closed it (or sent a notice, which is taken
  // here).
  pollfd fd{.fd = PQsocket(impl_->pg), .events = POLLIN, .revents = 0};
  if (fd.fd < 0) return true;
  if (poll(&fd, 1, 0) == 0) return false;
  return PQconsumeInput(impl_->pg) == 0 || PQstatus(impl_->pg) == CONNECTION_BAD;
}

int Connection::backend_pid() const { return PQbackendPID(impl_->pg); }
int Connection::server_version() const { return PQserverVersion(impl_->pg); }
const std::string& Connection::description() const { return impl_->description; }

bool Connection::in_transaction() const {
  const PGTransactionStatusType status = PQtransactionStatus(impl_->pg);
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
}

std::string Connection::QuoteIdentifier(absl::string_view name) const {
  char* quoted = PQescapeIdentifier(impl_->pg, name.data(), name.size());
  if (quoted == nullptr) return std::string(name);
  std::string out(quoted);
  PQfreemem(quoted);
  return out;
}

std::string Connection::QuoteLiteral(absl::string_view text) const { return impl_->Literal(text); }

namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

// Both forms of a connection string; a bare word is a database's name.
Options ParseDsn(const Secret& dsn) {
  const std::string& text = dsn.Reveal();
  const bool bare = text.find('=') == std::string::npos && text.find("://") == std::string::npos;
  // libpq's own message of a failure echoes the password: it is not even asked for.
  char* error = nullptr;
  Options options(PQconninfoParse(bare ? "" : text.c_str(), &error), &PQconninfoFree);
  if (error != nullptr) PQfreemem(error);
  if (options != nullptr && bare) {
    for (PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      if (absl::string_view(option->keyword) == "dbname") option->val = strdup(text.c_str());
    }
  }
  return options;
}

// Whether one of a connection string's hosts or ports may be one. I8: what follows an unescaped @
// of a password is read as host and port, which messages show.
bool MayBeHostOrPort(absl::string_view keyword, absl::string_view value) {
  // `host= password=…`, from a template whose variable was empty, is the host "password=…".
  if (keyword == "host" && absl::StrContains(value, '=')) return false;
  if (keyword == "host") return value.rfind('@') == value.npos || value.rfind('@') == 0;
  int port = 0;
  if (keyword == "port" && !value.empty())
    return absl::SimpleAtoi(value, &port) && port >= 1 && port <= 65535;
  return true;
}

// I8: whether what libpq would take for a host, a database or a user may be a part of a password
// that was not escaped: an @ that does not stand once and before any / and ? of a URI, and one, or
// a colon or slash, in a text that is neither a URI nor a list of settings.
bool MayShowPassword(absl::string_view text) {
  for (const absl::string_view scheme : {"postgresql://", "postgres://"}) {
    if (!absl::StartsWith(text, scheme)) continue;
    const absl::string_view rest = text.substr(scheme.size());
    const size_t at = rest.find('@');
    return at != rest.npos &&
           (rest.find('@', at + 1) != rest.npos || rest.find_first_of("/?") < at);
  }
  return !absl::StrContains(text, '=') && text.find_first_of("@:/") != text.npos;
}

}  // namespace

absl::Status ValidateDsn(const Secret& dsn) {
  if (MayShowPassword(dsn.Reveal())) {
    return absl::InvalidArgumentError(
        "the connection string cannot be told apart into user, password, host and database (it is "
        "not shown); expected postgresql://user:password@host:port/database with @ : / ? of the "
        "password written as %40 %3A %2F %3F, or host=… port=… dbname=… user=…");
  }
  const Options options = ParseDsn(dsn);
  if (options == nullptr) {
    return absl::InvalidArgumentError(
        "the connection string cannot be read (it is not shown, since it may hold a password); "
        "expected "
        "postgresql://user@host:port/database or host=… port=… dbname=… user=…");
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const absl::string_view keyword = option->keyword;
    for (const absl::string_view part : absl::StrSplit(option->val, ',')) {
      if (MayBeHostOrPort(keyword, part)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("the ", keyword,
                       " of the connection string is none (it is not shown, since it may be a part "
                       "of a password); in a URI write @ : / of a password as %40 %3A %2F"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Secret> WithDatabase(const Secret& dsn, const std::string& database) {
  DUNLIN_RETURN_IF_ERROR(ValidateDsn(dsn));
  const Options options = ParseDsn(dsn);
  std::string text;
  const auto add = [&text](absl::string_view keyword, absl::string_view value) {
    absl::StrAppend(&text, text.empty() ? "" : " ", keyword, "='",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  };
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && absl::string_view(option->keyword) != "dbname")
      add(option->keyword, option->val);
  }
  add("dbname", database);
  return Secret(text);
}

std::string DescribeDsn(const Secret& dsn) {
  const Options options = ParseDsn(dsn);
  if (options == nullptr) return "an unreadable connection string";
  std::map<std::string, std::string> values;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
  const auto value = [&](const char* key, const char* env, const char* fallback) -> std::string {
    if (const auto it = values.find(key); it != values.end()) return it->second;
    if (const char* from_env = std::getenv(env); from_env != nullptr) return from_env;
    return fallback;
  };
  const std::string database =
      value("dbname", "PGDATABASE",
            values.contains("user") ? values["user"].c_str() : "its default database");
  // A connection string as the name of a database is one that was put into the wrong place (I8).
  const bool shown = database.find_first_of("@:/=") == std::string::npos;
  return absl::StrCat(value("host", "PGHOST", "the local socket"), ":",
                      value("port", "PGPORT", "5432"), "/",
                      shown ? database : "a database whose name is not shown");
}

}  // namespace dunlin::pg
