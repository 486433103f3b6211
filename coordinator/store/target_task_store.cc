// What is asked of a target beside the runs in work, and what it answered.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/ids.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status ApplyConfirmedRuns(Transaction& tx, const std::string& target,
                                const agent_pb::ConfirmRunsResult& result) {
  std::vector<std::string> ids, outcomes, ages;
  for (const auto& run : result.runs()) {
    ids.push_back(run.run_id());
    outcomes.push_back(run.outcome());
    ages.push_back(absl::StrCat(run.finish_age_seconds()));
  }
  return tx.Run(sql::kConfirmRuns, {target, pg::EncodeTextArray(ids), pg::EncodeTextArray(outcomes),
                                    pg::EncodeTextArray(ages), Bool(result.truncated())});
}

absl::Status ReadSchemaLocks(Transaction& tx, const pb::LookForSchemaLocksRequest& request,
                             pb::LookForSchemaLocksResponse* response) {
  response->set_question_id(request.question_id());
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result task,
                          tx.Query(sql::kTargetTask, {request.question_id()}));
  if (task.rows.empty() || task.Text(0, 0) != request.target() ||
      task.Text(0, 1) != "look_for_schema_locks")
    return absl::NotFoundError("no such question was asked; ask anew, without a question_id");
  if (!task.Bool(0, 3)) return absl::OkStatus();
  agent_pb::CompleteTargetTaskRequest answer;
  if (!answer.ParseFromString(absl::HexStringToBytes(task.Text(0, 4))))
    return absl::DataLossError("an answer of a target cannot be read");
  response->set_answered(true);
  response->set_problem(answer.problem().message());
  for (const auto& lock : answer.schema_locks().locks()) {
    auto* out = response->add_locks();
    out->set_text(lock.text());
    out->set_pid(lock.pid());
    out->set_application_name(lock.application_name());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Store::AskTarget(Transaction& tx, const std::string& target, const std::string& kind,
                              const agent_pb::TargetTask& question) {
  return tx.Run(sql::kAskTarget,
                {MakeUuid(), target, kind, absl::BytesToHexString(question.SerializeAsString())});
}

absl::StatusOr<pb::LookForSchemaLocksResponse> Store::LookForSchemaLocks(
    const pb::LookForSchemaLocksRequest& request) {
  pb::LookForSchemaLocksResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    response.Clear();
    DUNLIN_ASSIGN_OR_RETURN(const RunWait agents, WaitForAgent(tx, request.target()));
    response.set_no_agent(!agents.sentence.empty());
    if (response.no_agent()) return absl::OkStatus();
    if (!request.question_id().empty()) return ReadSchemaLocks(tx, request, &response);
    agent_pb::TargetTask question;
    *question.mutable_look_for_schema_locks()->mutable_table() = request.table();
    response.set_question_id(MakeUuid());
    // Always a question of its own: an answer to an older one says nothing of now.
    return tx.Run(sql::kAskTargetAnew,
                  {response.question_id(), request.target(), "look_for_schema_locks",
                   absl::BytesToHexString(question.SerializeAsString())});
  }));
  return response;
}

absl::Status Store::GrantTargetTasks(Transaction& tx, const std::string& agent,
                                     const std::vector<std::string>& targets,
                                     agent_pb::HeartbeatResponse& response) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result granted,
                          tx.Query(sql::kGrantTargetTasks, {agent, pg::EncodeTextArray(targets)}));
  if (granted.rows.empty()) return absl::OkStatus();
  DUNLIN_RETURN_IF_ERROR(LoadStoreId(tx));
  for (size_t row = 0; row < granted.rows.size(); ++row) {
    agent_pb::TargetTask* task = response.add_target_tasks();
    if (!task->ParseFromString(absl::HexStringToBytes(granted.Text(row, 2))))
      return absl::DataLossError("a question to a target cannot be read");
    task->set_task_id(granted.Text(row, 0));
    task->set_target(granted.Text(row, 1));
    task->set_store_name(name_);
    MutexLock lock(mutex_);
    task->set_store_id(store_id_);
  }
  return absl::OkStatus();
}

absl::Status Store::CompleteTargetTask(const agent_pb::CompleteTargetTaskRequest& request) {
  return InTransaction([&](Transaction& tx) -> absl::Status {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result task, tx.Query(sql::kTargetTask, {request.task_id()}));
    // Forgotten, or answered by another agent meanwhile.
    if (task.rows.empty() || task.Bool(0, 3)) return absl::OkStatus();
    const std::string target = task.Text(0, 0);
    DUNLIN_ASSIGN_OR_RETURN(const IdentityVerdict from, CheckTarget(tx, target, request.target()));
    // The word of a former primary: another agent is asked in its turn.
    if (from == IdentityVerdict::kLeftBehind) return absl::OkStatus();
    if (request.has_confirm_runs())
      DUNLIN_RETURN_IF_ERROR(ApplyConfirmedRuns(tx, target, request.confirm_runs()));
    agent_pb::TargetTask asked;
    if (!asked.ParseFromString(absl::HexStringToBytes(task.Text(0, 2))))
      return absl::DataLossError("a question to a target cannot be read");
    if (asked.has_adopt_target()) DUNLIN_RETURN_IF_ERROR(ApplyAdopted(tx, target, request));
    if (asked.has_read_runs()) DUNLIN_RETURN_IF_ERROR(ApplyReadRuns(tx, target, request));
    if (asked.has_forget_run())
      DUNLIN_RETURN_IF_ERROR(ApplyForgotten(tx, asked.forget_run().run_id(), request));
    if (request.has_problem()) {
      LOG(WARNING) << Event("target_task_failed")
                          .Kv("target", target)
                          .Kv("kind", task.Text(0, 1))
                          .Kv("why", request.problem().message());
    }
    return tx.Run(sql::kAnswerTargetTask,
                  {request.task_id(), absl::BytesToHexString(request.SerializeAsString())});
  });
}

}  // namespace dunlin::coordinator
