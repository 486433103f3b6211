#include "tests/testlib/mini_cluster.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include <glog/logging.h>
#include <nlohmann/json.hpp>

namespace dunlin::testing {

MiniCluster::MiniCluster(PgServer& server, MiniClusterOptions options)
    : server_(server), options_(std::move(options)) {
  server_.CreateDatabase("store");
  for (int i = 0; i < options_.coordinators; ++i) ports_.push_back(FreePort());
  for (size_t i = 0; i < ports_.size(); ++i) coordinators_.push_back(StartCoordinator(i));
  for (int i = 0; i < options_.agents; ++i) agents_.push_back(StartAgent());
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
  agents_[i] = StartAgent();
}

void MiniCluster::ReplaceCoordinator(size_t i) {
  coordinators_[i]->Signal(SIGKILL);
  coordinators_[i]->Wait(absl::Seconds(10));
  coordinators_[i] = StartCoordinator(i);
}

std::unique_ptr<Process> MiniCluster::StartCoordinator(size_t i) const {
  std::vector<std::string> argv = {
      Binary("dunlin-coordinator"),          "--store",     server_.Dsn("store"), "--listen",
      absl::StrCat("127.0.0.1:", ports_[i]), "--lease-ttl", options_.lease_ttl};
  argv.insert(argv.end(), options_.coordinator_flags.begin(), options_.coordinator_flags.end());
  return std::make_unique<Process>(argv);
}

std::unique_ptr<Process> MiniCluster::StartAgent() const {
  std::vector<std::string> argv = {Binary("dunlin-agent"), "--coordinator", Addresses(), "--slots",
                                   absl::StrCat(options_.slots)};
  argv.insert(argv.end(), options_.target_flags.begin(), options_.target_flags.end());
  for (const std::string& target : options_.targets) {
    if (!options_.target_flags.empty()) break;
    argv.push_back("--target");
    argv.push_back(absl::StrCat(target, "=", server_.Dsn(target)));
  }
  argv.insert(argv.end(), options_.agent_flags.begin(), options_.agent_flags.end());
  return std::make_unique<Process>(argv);
}

}  // namespace dunlin::testing
