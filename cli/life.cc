// Commands that drive runs which exist already.
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/schema_wait.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

void PrintRuns(const GlobalOptions& global, const std::vector<pb::Run>& runs) {
  if (!global.json()) {
    for (const pb::Run& run : runs) PrintRun(global, run);
    return;
  }
  json all = json::array();
  for (const pb::Run& run : runs) all.push_back(RunJson(run));
  std::cout << json{{"runs", all}}.dump() << "\n";
}

// Looks at the runs again until none is in a state that passes by itself: `passing`.
template <typename Passing>
absl::Status WaitWhile(Client& client, std::vector<pb::Run>& runs, absl::Duration timeout,
                       Passing passing) {
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + timeout;
  while (std::any_of(runs.begin(), runs.end(), passing) && clock.Monotonic() < until &&
         !Interrupted()) {
    clock.SleepFor(kLookEvery, {});
    for (pb::Run& run : runs) {
      if (!passing(run)) continue;
      DUNLIN_ASSIGN_OR_RETURN(run, client.GetRun(run.run_id()));
    }
  }
  return absl::OkStatus();
}

bool Pausing(const pb::Run& run) { return run.state() == pb::Run::STATE_PAUSING; }

// Who still holds shards of runs that were asked to pause.
std::string Holders(Client& client, const std::vector<pb::Run>& runs) {
  std::vector<std::string> holders;
  for (const pb::Run& run : runs) {
    if (!Pausing(run)) continue;
    const auto shards = client.ListShards(run.run_id());
    for (const pb::Shard& shard : shards.ok() ? *shards : std::vector<pb::Shard>{}) {
      if (shard.state() == pb::Shard::STATE_LEASED) holders.push_back(shard.agent_name());
    }
  }
  return holders.empty() ? "none" : absl::StrJoin(holders, ", ");
}

int TellPaused(const GlobalOptions& global, Client& client, std::vector<pb::Run> runs,
               absl::Duration timeout, bool all) {
  const absl::Status waited = WaitWhile(client, runs, timeout, Pausing);
  if (!waited.ok()) return Complain(waited);
  if (all) {
    PrintRuns(global, runs);
  } else {
    PrintRun(global, runs[0]);
  }
  // One that ended meanwhile does not run either.
  if (std::none_of(runs.begin(), runs.end(), Pausing)) return kDone;
  std::cerr << "dunlin: the command is recorded, but it is not PAUSED yet; still holding shards: "
            << Holders(client, runs) << ". They stop when their leases end at the latest\n";
  return kNotFinished;
}

// A new run begins, so no schema migration may be at work.
absl::Status LookBeforeRedo(Client& client, const GlobalOptions& global, const RedoOptions& options,
                            absl::Duration wait) {
  DUNLIN_ASSIGN_OR_RETURN(const pb::Run former, client.GetRun(options.run));
  const auto in_the_way = WaitForSchemaMigrations(
      client, global, {{former.target(), {former.table().begin(), former.table().end()}}}, wait);
  if (in_the_way.empty()) return absl::OkStatus();
  return SchemaMigrationInTheWay(former.migration(), former.target(), in_the_way.begin()->second,
                                 options.schema_wait);
}

}  // namespace

int RunPause(const GlobalOptions& global, const std::string& run, const std::string& reason,
             absl::Duration timeout) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  auto request = MakeCommand<pb::PauseRunRequest>(global, reason);
  request.set_run(run);
  const absl::StatusOr<pb::Run> paused = connection->client->PauseRun(request);
  if (!paused.ok()) return Complain(paused.status());
  return TellPaused(global, *connection->client, {*paused}, timeout, false);
}

int RunPauseAll(const GlobalOptions& global, const std::string& reason, absl::Duration timeout) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto paused =
      connection->client->PauseAllRuns(MakeCommand<pb::PauseAllRunsRequest>(global, reason));
  if (!paused.ok()) return Complain(paused.status());
  if (paused->empty() && !global.json()) {
    std::cout << "nothing is running\n";
    return kDone;
  }
  const int code = TellPaused(global, *connection->client, *paused, timeout, true);
  if (!global.json()) std::cout << "They go on with: dunlin resume all" << Reach(global) << "\n";
  return code;
}

int RunResumeAll(const GlobalOptions& global, const std::string& reason) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto resumed =
      connection->client->ResumeAllRuns(MakeCommand<pb::ResumeAllRunsRequest>(global, reason));
  if (!resumed.ok()) return Complain(resumed.status());
  if (resumed->empty() && !global.json())
    std::cout
        << "nothing is paused that `dunlin pause all` paused; what was paused by itself or one "
           "by one: dunlin status"
        << Reach(global) << "\n";
  PrintRuns(global, *resumed);
  return kDone;
}

int RunApprove(const GlobalOptions& global, const std::string& run, const std::string& reason) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  auto request = MakeCommand<pb::ApproveRunRequest>(global, reason);
  request.set_run(run);
  const auto approved = connection->client->ApproveRun(request);
  if (!approved.ok()) return Complain(approved.status());
  PrintRun(global, *approved);
  if (!global.json()) std::cout << "  approved by " << approved->approved_by() << "\n";
  return kDone;
}

int RunRedo(const GlobalOptions& global, const RedoOptions& options) {
  const auto wait = ParseSchemaWait(options.schema_wait);
  if (!wait.ok()) return Complain(wait.status());
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  Client& client = *connection->client;
  if (*wait) {
    const absl::Status looked = LookBeforeRedo(client, global, options, **wait);
    if (!looked.ok()) return Complain(looked);
  }
  auto request = MakeCommand<pb::RedoRunRequest>(global, options.reason);
  request.set_run(options.run);
  request.set_apply_twice(options.apply_twice);
  const auto redone = client.RedoRun(request);
  if (!redone.ok()) return Complain(redone.status());
  PrintRun(global, *redone);
  if (!global.json()) {
    std::cout << "  a new run, " << redone->run_id() << ", in the place of "
              << redone->follows_run_id() << ". Follow it: "
              << (global.database.empty() ? absl::StrCat("dunlin watch ", redone->migration())
                                          : "dunlin local FILE --database …")
              << "\n";
  }
  return kDone;
}

int RunResume(const GlobalOptions& global, const std::string& run, const std::string& reason,
              int64_t stop_after_rows) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  auto request = MakeCommand<pb::ResumeRunRequest>(global, reason);
  request.set_run(run);
  request.set_stop_after_rows(stop_after_rows);
  const auto resumed = connection->client->ResumeRun(request);
  if (!resumed.ok()) return Complain(resumed.status());
  PrintRun(global, *resumed);
  return kDone;
}

int RunCancel(const GlobalOptions& global, const std::string& run, const std::string& reason) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  auto request = MakeCommand<pb::CancelRunRequest>(global, reason);
  request.set_run(run);
  const auto cancelled = connection->client->CancelRun(request);
  if (!cancelled.ok()) return Complain(cancelled.status());
  PrintRun(global, *cancelled);
  if (!global.json()) {
    std::cout << "  What is done stays done: " << HumanCount(cancelled->rows_changed())
              << " rows were changed in " << HumanCount(cancelled->batches_done())
              << " batches. `dunlin resume " << run << "` would go on from there\n";
  }
  return kDone;
}

}  // namespace dunlin::cli
