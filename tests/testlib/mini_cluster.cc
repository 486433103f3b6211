#include "tests/testlib/mini_cluster.h"

#include <signal.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include <glog/logging.h>
#include <nlohmann/json.hpp>

namespace dunlin::testing {

MiniCluster::MiniCluster(PgServer& server, MiniClusterOptions options)
    : server_(server),
      store_server_(options.store_server != nullptr ? *options.store_server : server),
      options_(std::move(options)),
      ports_(options_.coordinator_ports) {
  store_server_.CreateDatabase("store");
  while (std::ssize(ports_) < options_.coordinators) ports_.push_back(FreePort());
  for (size_t i = 0; i < ports_.size(); ++i) coordinators_.push_back(StartCoordinator(i));
  for (int i = 0; i < options_.agents; ++i) agents_.push_back(StartAgent(static_cast<size_t>(i)));
}

std::string MiniCluster::Addresses() const {
  std::string all;
  for (const int port : ports_) absl::StrAppend(&all, all.empty() ? "" : ",", "127.0.0.1:", port);
  return all;
}

RunResult MiniCluster::Dunlin(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), Binary("dunlin"));
  arguments.insert(arguments.end(), {"--coordinator", Addresses()});
  return RunToEnd(arguments);
}

std::string MiniCluster::State(const std::string& run) const {
  const RunResult status = Dunlin({"status", run, "-o", "json"});
  const auto json = nlohmann::json::parse(status.output, nullptr, false);
  return json.is_object() ? json.value("state", "") : status.output;
}

void MiniCluster::WaitForAgents() const {
  CHECK(Eventually(absl::Seconds(30), [&] {
    const auto json =
        nlohmann::json::parse(Dunlin({"agents", "-o", "json"}).output, nullptr, false);
    return json.is_object() && json["agents"].size() == agents_.size();
  }));
}

void MiniCluster::ReplaceAgent(size_t i) {
  agents_[i]->Signal(SIGKILL);
  agents_[i]->Wait(absl::Seconds(10));
  agents_[i] = StartAgent(i);
}

void MiniCluster::ReplaceCoordinator(size_t i) {
  coordinators_[i]->Signal(SIGKILL);
  coordinators_[i]->Wait(absl::Seconds(10));
  coordinators_[i] = StartCoordinator(i);
}

std::unique_ptr<Process> MiniCluster::StartCoordinator(size_t i) const {
  const Surroundings around = options_.coordinator_surroundings(i);
  std::vector<std::string> argv;
  if (!options_.paced) argv = {"env", "DUNLIN_TUNE=coordinator.pace.lowest_rung=100"};
  argv.insert(argv.end(), around.prefix.begin(), around.prefix.end());
  argv.insert(
      argv.end(),
      {Binary("dunlin-coordinator"), "--store", store_server_.Dsn("store", around.server),
       "--listen", absl::StrCat("127.0.0.1:", ports_[i]), "--lease-ttl", options_.lease_ttl});
  argv.insert(argv.end(), options_.coordinator_flags.begin(), options_.coordinator_flags.end());
  return std::make_unique<Process>(argv);
}

std::unique_ptr<Process> MiniCluster::StartAgent(size_t i) const {
  const Surroundings around = options_.agent_surroundings(i);
  std::vector<std::string> argv = around.prefix;
  argv.insert(argv.end(), {Binary("dunlin-agent"), "--coordinator",
                           around.coordinators.empty() ? Addresses() : around.coordinators,
                           "--slots", absl::StrCat(options_.slots)});
  argv.insert(argv.end(), options_.target_flags.begin(), options_.target_flags.end());
  for (const std::string& target : options_.targets) {
    if (!options_.target_flags.empty()) break;
    argv.push_back(around.pooled ? "--target-pooled" : "--target");
    argv.push_back(absl::StrCat(target, "=", server_.Dsn(target, around.server)));
  }
  argv.insert(argv.end(), options_.agent_flags.begin(), options_.agent_flags.end());
  return std::make_unique<Process>(argv);
}

}  // namespace dunlin::testing
