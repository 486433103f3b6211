#include "absl/strings/str_cat.h"

#include "agent/ledger/installer.h"
#include "agent/ledger/ledger.h"
#include "agent/task/task_runner.h"
#include "agent/work/tied_session.h"
#include "common/fault.h"

namespace dunlin::agent {

TaskResult RunBaseline(const TaskContext& context) {
  const std::string doing = "recording the migration as done elsewhere";
  auto opened =
      TieSession(context.handle, context.sessions.OpenForTask(absl::Minutes(1), "public, pg_temp",
                                                              context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  if (std::optional<TaskResult> ended = WithoutLedger(context, connection))
    return *std::move(ended);
  const auto identity = ReadIdentity(connection, context.run.target);
  if (!identity.ok()) return ResultFromStatus(identity.status(), doing);
  if (!context.handle.Valid()) return std::monostate{};
  const auto recorded =
      RegisterBaseline(connection, context.run, context.definition, *identity, context.task.note);
  if (!recorded.ok()) return ResultFromStatus(recorded.status(), doing);
  if (recorded->has_value()) return **recorded;
  if (const absl::Status fault = DUNLIN_FAULT("agent.baseline.after_commit"); !fault.ok())
    return std::monostate{};
  return BaselineResult();
}

}  // namespace dunlin::agent
