#include <memory>

#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "agent/work/batch_runner.h"
#include "agent/work/error_action.h"
#include "agent/work/problem.h"
#include "agent/work/tied_session.h"
#include "common/backoff.h"
#include "common/log.h"
#include "common/pg/types.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kBackoffBase = absl::Milliseconds(100);
constexpr absl::Duration kBackoffCap = absl::Seconds(30);
constexpr absl::Duration kStoppedPoll = absl::Seconds(1);

// Raises the task epoch, so that no try of an older task commits any more, and notes what is
// accepted.
absl::Status BeginAndAccept(const TaskContext& context, pg::Connection& connection) {
  const std::string run = context.run.id.value();
  std::vector<pg::Command> commands = {
      {.statement = sql::kBeginTask,
       .parameters = {run, context.run.store_id, absl::StrCat(context.task.task_epoch.value())}}};
  for (const Acceptance& accept : context.task.accept) {
    commands.push_back({.statement = sql::kAcceptQuarantined,
                        .parameters = {run, pg::EncodeTextArray({accept.quarantine_id}), accept.by,
                                       accept.reason}});
  }
  return RunTransaction(connection, commands, nullptr);
}

// Tries rows again, each in a transaction of its own, over one session for each relation.
class Retrier {
 public:
  explicit Retrier(const TaskContext& context)
      : context_(context), backoff_(kBackoffBase, kBackoffCap, Random01) {}

  // nullopt: it is done, or fails still; a result: the task ends.
  std::optional<TaskResult> Try(const QuarantinedRow& row) {
    if (const absl::Status ready = Prepare(row); !ready.ok()) return Ended(ready, row);
    while (context_.handle.Valid() && !context_.handle.Draining()) {
      const BatchOutcome outcome = session_->runner.Retry(row, context_.task.task_epoch);
      // DN006: an earlier try has committed.
      if (outcome.status.ok() || pg::SqlStateOf(outcome.status) == "DN006") {
        backoff_.Reset();
        context_.handle.SetWaiting("");
        return std::nullopt;
      }
      if (outcome.in_doubt) return std::monostate{};
      absl::Duration wait;
      switch (ClassifyError(outcome.status)) {
        case ErrorAction::kBisect:
          return NoteFailure(row, outcome.status);
        case ErrorAction::kStopped:
          context_.handle.SetWaiting(absl::StrCat("stopped in the database: ",
                                                  pg::GetServerError(outcome.status)->message));
          wait = kStoppedPoll;
          break;
        case ErrorAction::kRetry:
        case ErrorAction::kRetrySmaller:
          context_.handle.SetWaiting(absl::StrCat("a row that is set aside is tried again after: ",
                                                  outcome.status.message()));
          wait = backoff_.Next();
          break;
        case ErrorAction::kReconnect:
        case ErrorAction::kLeaseLost:
        case ErrorAction::kFailRun:
          return Ended(outcome.status, row);
      }
      if (!context_.handle.Wait(wait)) break;
    }
    return std::monostate{};
  }

 private:
  struct Session {
    int step;
    std::string relation;
    std::unique_ptr<pg::Connection> connection;
    StepSql sql;
    BatchRunner runner;
    Session(const QuarantinedRow& row, std::unique_ptr<pg::Connection> opened, StepSql made,
            Durability durability, absl::Duration budget)
        : step(row.step),
          relation(row.relation),
          connection(std::move(opened)),
          sql(std::move(made)),
          runner(*connection, sql, durability, budget) {}
  };

  absl::Status Prepare(const QuarantinedRow& row) {
    if (session_ && session_->step == row.step && session_->relation == row.relation)
      return absl::OkStatus();
    session_.reset();
    // Named as a shard's: the run's row is what it holds.
    DUNLIN_ASSIGN_OR_RETURN(
        std::unique_ptr<pg::Connection> connection,
        TieSession(context_.handle, context_.sessions.OpenForShard(
                                        context_.run.migration, ShardId(context_.run.id.value()),
                                        context_.task.task_epoch, SearchPathOf(row.relation),
                                        context_.handle.lost_token())));
    const StepDefinition& step = context_.definition.steps[static_cast<size_t>(row.step)];
    DUNLIN_ASSIGN_OR_RETURN(const Relation relation,
                            DescribeRelation(*connection, row.relation, step.key));
    DUNLIN_ASSIGN_OR_RETURN(BoundParameters parameters,
                            ResolveParameters(*connection, context_.definition,
                                              context_.run.parameters, context_.run.started_at));
    DUNLIN_ASSIGN_OR_RETURN(const BeforeImages images,
                            DescribeImages(*connection, context_.run, row.step, step, relation));
    DUNLIN_ASSIGN_OR_RETURN(StepSql sql,
                            StepSql::Make(step, relation, DeclaredParameters(context_.definition),
                                          std::move(parameters), images));
    DUNLIN_ASSIGN_OR_RETURN(const absl::Duration budget, ReadBatchBudget(*connection));
    session_ = std::make_unique<Session>(row, std::move(connection), std::move(sql),
                                         context_.definition.durability, budget);
    return absl::OkStatus();
  }

  std::optional<TaskResult> NoteFailure(const QuarantinedRow& row, const absl::Status& status) {
    const pg::ServerError error = pg::GetServerError(status).value_or(pg::ServerError{});
    const std::string budget = absl::StrCat(absl::ToInt64Milliseconds(kStoppedPoll));
    const absl::Status noted = RunTransaction(
        *session_->connection,
        {{.statement = sql::kFenceRetry,
          .parameters = {row.id, absl::StrCat(context_.task.task_epoch.value()), budget}},
         {.statement = sql::kRetryFailed,
          .parameters = {row.id, error.sqlstate, error.constraint, error.table}}},
        nullptr);
    if (!noted.ok()) return Ended(noted, row);
    return std::nullopt;
  }

  static TaskResult Ended(const absl::Status& status, const QuarantinedRow& row) {
    return ResultFromStatus(status, absl::StrCat("trying rows of ", row.relation, " again"));
  }

  const TaskContext& context_;
  Backoff backoff_;
  std::unique_ptr<Session> session_;
};

}  // namespace

TaskResult RunQuarantine(const TaskContext& context) {
  const std::string doing = "looking at the rows that are set aside";
  auto opened =
      TieSession(context.handle, context.sessions.OpenForTask(absl::Minutes(1), "public, pg_temp",
                                                              context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  if (const absl::Status begun = BeginAndAccept(context, connection); !begun.ok())
    return ResultFromStatus(begun, doing);
  auto quarantine = ReadQuarantine(connection, context.run.id);
  if (!quarantine.ok()) return ResultFromStatus(quarantine.status(), doing);
  if (!context.task.retry) return *std::move(quarantine);
  Retrier retrier(context);
  for (const QuarantinedRow& row : quarantine->rows) {
    if (row.accepted) continue;
    if (std::optional<TaskResult> ended = retrier.Try(row)) return *std::move(ended);
  }
  quarantine = ReadQuarantine(connection, context.run.id);
  if (!quarantine.ok()) return ResultFromStatus(quarantine.status(), doing);
  LOG(INFO)
      << Event("quarantine_retried").Kv("run", context.run.id).Kv("left", quarantine->rows.size());
  return *std::move(quarantine);
}

}  // namespace dunlin::agent
