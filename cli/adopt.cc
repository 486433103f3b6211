// `adopt`.
#include <iostream>
#include <set>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kWait = absl::Seconds(60);

// The run that counts of each migration of the target of which not all is finished.
absl::StatusOr<std::vector<pb::Run>> OpenRuns(Client& client, const std::string& target) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<pb::Run> runs, client.ListRuns(false));
  std::set<std::string> names;
  for (const pb::Run& run : runs) {
    if (run.target() == target && ExitCodeOf(run.state()) != kDone) names.insert(run.migration());
  }
  std::vector<pb::Run> open;
  for (const std::string& name : names) {
    DUNLIN_ASSIGN_OR_RETURN(pb::Run run, client.GetRun(absl::StrCat(name, "@", target)));
    if (ExitCodeOf(run.state()) != kDone) open.push_back(std::move(run));
  }
  return open;
}

void Tell(const pb::Adoption& adoption, const std::vector<pb::Run>& runs,
          const std::string& reach) {
  std::cout << "target " << adoption.target() << " is this store's now";
  if (!adoption.former_store_id().empty())
    std::cout << "; it was of store " << adoption.former_store_name() << " ("
              << adoption.former_store_id() << "), which commits nothing there any more";
  const int64_t learned = adoption.runs_learned();
  std::cout << ". Learned from its ledger: " << HumanCount(learned)
            << (learned == 1 ? " run\n" : " runs\n");
  if (runs.empty()) std::cout << "  none of its migrations is open\n";
  for (const pb::Run& run : runs) {
    std::cout << "  " << run.migration() << " is " << StateName(run.state()) << ": "
              << (run.reason().empty() ? absl::StrCat("go on: dunlin resume ", run.migration())
                                       : run.reason())
              << reach << "\n";
  }
}

nlohmann::json ToJson(const pb::Adoption& adoption, const std::vector<pb::Run>& runs) {
  nlohmann::json out = {{"target", adoption.target()},
                        {"former_store_id", adoption.former_store_id()},
                        {"former_store_name", adoption.former_store_name()},
                        {"runs_learned", adoption.runs_learned()},
                        {"done", adoption.done()},
                        {"error", adoption.error()},
                        {"open_runs", nlohmann::json::array()}};
  for (const pb::Run& run : runs) out["open_runs"].push_back(RunJson(run));
  return out;
}

}  // namespace

int RunAdopt(const GlobalOptions& global, const std::string& target, const std::string& reason) {
  const auto connection = ConnectToWork(global);
  if (!connection.ok()) return Complain(connection.status());
  Client& client = *connection->client;
  auto request = MakeCommand<pb::AdoptTargetRequest>(global, reason);
  request.set_target(target);
  auto adoption = AskWhenAgentIsThere(*connection, [&] { return client.AdoptTarget(request); });
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kWait;
  while (adoption.ok() && !adoption->done() && clock.Monotonic() < until) {
    clock.SleepFor(kLookEvery, {});
    adoption = client.GetAdoption(target);
  }
  if (!adoption.ok()) return Complain(adoption.status());
  const auto runs = OpenRuns(client, target);
  if (!runs.ok()) return Complain(runs.status());
  if (global.json()) std::cout << ToJson(*adoption, *runs).dump() << "\n";
  if (!adoption->done()) {
    std::cerr << "dunlin: no agent of " << target
              << " has answered yet; it goes on without this command, and the same command again "
                 "is safe\n";
    return kNotFinished;
  }
  if (!adoption->error().empty()) {
    std::cerr << "dunlin: " << target << " could not be taken over wholly: " << adoption->error()
              << ". The same command again is safe\n";
    return kNeedsPerson;
  }
  if (!global.json()) Tell(*adoption, *runs, Reach(global));
  return kDone;
}

}  // namespace dunlin::cli
