#include "cli/commands.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/overview.h"
#include "cli/story.h"
#include "cli/watch.h"
#include <nlohmann/json.hpp>

#include "agent/ledger/installer.h"
#include "common/clock.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {
using nlohmann::json;
}  // namespace

std::string Reach(const GlobalOptions& global) {
  return global.database.empty() ? "" : " --database …";
}

void PrintRun(const GlobalOptions& global, const pb::Run& run) {
  if (global.json()) {
    std::cout << RunJson(run).dump() << "\n";
    return;
  }
  std::cout << run.migration() << " on " << run.target() << "\n  " << ProgressLine(run) << "\n";
  if (const std::string reason = WaitReason(run); !reason.empty())
    std::cout << "  " << reason << "\n";
}

namespace {

int TellOverview(const GlobalOptions& global, Client& client) {
  auto runs = client.ListRunsOfConcern();
  if (!runs.ok()) return Complain(runs.status());
  auto agents = client.ListAgents();
  if (!agents.ok()) return Complain(agents.status());
  const Overview overview{.runs = *std::move(runs),
                          .agents = *std::move(agents),
                          .now = absl::Now(),
                          .reach = Reach(global)};
  std::cout << (global.json() ? OverviewJson(overview).dump() + "\n"
                              : OverviewText(overview, StyleOfOutput()));
  return kDone;
}

}  // namespace

int RunStatus(const GlobalOptions& global, const std::string& name) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  if (!name.empty()) {
    const auto run = connection->client->GetRun(name);
    if (!run.ok()) return Complain(run.status());
    PrintRun(global, *run);
    return ExitCodeOf(run->state());
  }
  return TellOverview(global, *connection->client);
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
    rows.push_back({run.migration(), run.target(), StateName(run.state()),
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
  std::cout << StoryText({.run = *run,
                          .events = *events,
                          .shards = *shards,
                          .name = name,
                          .reach = Reach(global),
                          .now = absl::Now()},
                         StyleOfOutput());
  return kDone;
}

int RunEvents(const GlobalOptions& global, const std::string& name, bool all) {
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  const auto events = connection->client->ListEvents(name, !all);
  if (!events.ok()) return Complain(events.status());
  if (global.json()) {
    for (const pb::RunEvent& event : *events) std::cout << EventJson(event).dump() << "\n";
  } else {
    std::cout << EventsText(*events, StyleOfOutput());
  }
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
