#include "cli/commands.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/watch.h"
#include <nlohmann/json.hpp>

#include "agent/ledger/installer.h"
#include "common/clock.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {
using nlohmann::json;

// An undo has the name of the migration that it takes back.
std::string TitleOf(const pb::Run& run) {
  return run.kind() == pb::Run::KIND_UNDO ? absl::StrCat(run.migration(), " (undo)")
                                          : run.migration();
}

// What kind of run it is, before its id.
std::string StoryOf(const pb::Run& run) {
  switch (run.kind()) {
    case pb::Run::KIND_BASELINE:
      return "recorded as done elsewhere: run ";
    case pb::Run::KIND_UNDO:
      return absl::StrCat("takes run ", run.follows_run_id(), " back: run ");
    default:
      return "run ";
  }
}
}  // namespace

std::string Reach(const GlobalOptions& global) {
  return global.database.empty() ? "" : " --database …";
}

void PrintRun(const GlobalOptions& global, const pb::Run& run) {
  if (global.json()) {
    std::cout << RunJson(run).dump() << "\n";
    return;
  }
  std::cout << TitleOf(run) << " on " << run.target() << "\n  " << ProgressLine(run) << "\n";
  if (const std::string reason = WaitReason(run); !reason.empty())
    std::cout << "  " << reason << "\n";
}

int RunStatus(const GlobalOptions& global, const std::string& name) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  if (!name.empty()) {
    const auto run = connection->client->GetRun(name);
    if (!run.ok()) return Complain(run.status());
    PrintRun(global, *run);
    return ExitCodeOf(run->state());
  }
  const auto runs = connection->client->ListRuns(true);
  if (!runs.ok()) return Complain(runs.status());
  if (global.json()) {
    json all = json::array();
    for (const pb::Run& run : *runs) all.push_back(RunJson(run));
    std::cout << json{{"runs", all}}.dump() << "\n";
    return kDone;
  }
  if (runs->empty()) std::cout << "nothing is running\n";
  for (const pb::Run& run : *runs) {
    PrintRun(global, run);
    if (run.state() != pb::Run::STATE_PAUSED) {
      std::cout << "  stop it: dunlin pause " << run.migration() << Reach(global) << "\n";
    } else {
      std::cout << "  go on:   dunlin " << NextCommand(run) << Reach(global) << "\n";
    }
  }
  return kDone;
}

int RunList(const GlobalOptions& global) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto runs = connection->client->ListRuns(false);
  if (!runs.ok()) return Complain(runs.status());
  if (global.json()) {
    json all = json::array();
    for (const pb::Run& run : *runs) all.push_back(RunJson(run));
    std::cout << json{{"runs", all}}.dump() << "\n";
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {
      {"MIGRATION", "TARGET", "STATE", "DONE", "ROWS", "STARTED", "BY"}};
  for (const pb::Run& run : *runs) {
    rows.push_back({TitleOf(run), run.target(), StateName(run.state()),
                    absl::StrCat(static_cast<int>(PercentOf(run)), " %"),
                    HumanCount(run.rows_done()), TimeText(run.create_time()), run.operator_name()});
  }
  std::cout << Table(rows);
  return kDone;
}

int RunShow(const GlobalOptions& global, const std::string& name) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto run = connection->client->GetRun(name);
  if (!run.ok()) return Complain(run.status());
  const auto events = connection->client->ListEvents(run->run_id(), true);
  if (!events.ok()) return Complain(events.status());
  const auto shards = connection->client->ListShards(run->run_id());
  if (!shards.ok()) return Complain(shards.status());
  if (global.json()) {
    json out = RunJson(*run);
    out["events"] = json::array();
    for (const pb::RunEvent& event : *events) out["events"].push_back(EventJson(event));
    out["shard_list"] = json::array();
    for (const pb::Shard& shard : *shards) out["shard_list"].push_back(ShardJson(shard));
    std::cout << out.dump() << "\n";
    return kDone;
  }
  PrintRun(global, *run);
  PrintLeft(*run);
  std::cout << "  " << run->description()
            << (run->owner().empty() ? "" : absl::StrCat(" (owner ", run->owner(), ")")) << "\n"
            << "  " << StoryOf(*run) << run->run_id() << ", digest " << run->digest().substr(0, 12)
            << "\n"
            << "  started by " << run->operator_name() << ", " << TimeText(run->create_time())
            << "; finished " << TimeText(run->finish_time(), run->has_finish_time()) << "\n"
            << "  " << HumanCount(run->rows_changed()) << " rows changed in "
            << HumanCount(run->batches_done()) << " batches; " << run->shards().done() << " of "
            << run->shards().total() << " shards done\n"
            << "  limits: " << LimitsLine(*run) << " (" << run->concurrency_allowed()
            << " allowed now)\n\n";
  if (const std::string signals = SignalLines(*run); !signals.empty())
    std::cout << "  the target, by how near each signal is to its limit:\n" << signals << "\n";
  for (const pb::RunEvent& event : *events) {
    std::cout << "  " << TimeText(event.event_time()) << "  " << event.actor() << "  "
              << (event.kind() == "run_state_changed"
                      ? absl::StrCat(event.old_value(), " → ", event.new_value())
                      : event.kind())
              << (event.reason().empty() ? "" : absl::StrCat(": ", event.reason())) << "\n";
  }
  return kDone;
}

int RunEvents(const GlobalOptions& global, const std::string& name, bool all) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto events = connection->client->ListEvents(name, !all);
  if (!events.ok()) return Complain(events.status());
  std::vector<std::vector<std::string>> rows = {
      {"REVISION", "TIME", "WHO", "WHAT", "FROM → TO", "WHY"}};
  for (const pb::RunEvent& event : *events) {
    if (global.json()) {
      std::cout << EventJson(event).dump() << "\n";
      continue;
    }
    rows.push_back(
        {absl::StrCat(event.revision()), TimeText(event.event_time()),
         event.peer().empty() ? event.actor() : absl::StrCat(event.actor(), " from ", event.peer()),
         event.kind(),
         event.old_value().empty() ? event.new_value()
                                   : absl::StrCat(event.old_value(), " → ", event.new_value()),
         event.reason()});
  }
  if (!global.json()) std::cout << Table(rows);
  return kDone;
}

int RunWatch(const GlobalOptions& global, const std::string& run, int64_t from_revision) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  std::vector<std::string> runs;
  if (!run.empty()) {
    const auto found = connection->client->GetRun(run);
    if (!found.ok()) return Complain(found.status());
    runs.push_back(found->run_id());
  } else {
    const auto live = connection->client->ListRuns(true);
    if (!live.ok()) return Complain(live.status());
    for (const pb::Run& one : *live) runs.push_back(one.run_id());
    if (runs.empty()) {
      if (!global.json()) std::cout << "nothing is running\n";
      return kDone;
    }
  }
  InstallInterrupt();
  return WatchRuns(*connection->client, runs,
                   {.from_revision = from_revision, .json = global.json()});
}

int RunAgents(const GlobalOptions& global) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto agents = connection->client->ListAgents();
  if (!agents.ok()) return Complain(agents.status());
  if (global.json()) {
    json all = json::array();
    for (const pb::Agent& agent : *agents) all.push_back(AgentJson(agent));
    std::cout << json{{"agents", all}}.dump() << "\n";
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {
      {"AGENT", "STATE", "SLOTS", "TARGETS", "LAST HEARD OF", "VERSION"}};
  for (const pb::Agent& agent : *agents) {
    rows.push_back({agent.name(), agent.connected() ? "connected" : "silent",
                    absl::StrCat(agent.slots_used(), "/", agent.slots()),
                    absl::StrJoin(agent.targets(), ","), TimeText(agent.last_heartbeat_time()),
                    agent.version()});
  }
  std::cout << Table(rows);
  return kDone;
}

int RunLedgerSql(const std::string& role) {
  std::cout << agent::LedgerSql(role);
  return kDone;
}

}  // namespace dunlin::cli
