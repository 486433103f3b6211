#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/testlib/pg_server.h"
#include "tests/testlib/process.h"

namespace dunlin::testing {

// How a process is run and whom it reaches, where that is not plainly: through a proxy, under
// another clock, in a namespace of its own. Empty = plainly.
struct Surroundings {
  std::vector<std::string> prefix = {};  // before its own argv
  std::string coordinators = {};         // of an agent
  std::string server = {};               // HOST:PORT of PostgreSQL
  bool pooled = false;                   // a pooler stands there
};

struct MiniClusterOptions {
  int coordinators = 2;
  int agents = 3;
  int slots = 2;  // of each agent
  std::string lease_ttl = "3s";
  // The database's health sets the pace. Otherwise runs go as fast as they may: other tests that
  // take the cores would slow them down.
  bool paced = false;
  std::vector<std::string> agent_flags = {};  // more of them
  std::vector<std::string> coordinator_flags = {};
  std::vector<std::string> targets = {"app"};  // of each agent; a database each
  std::vector<std::string> target_flags = {};  // in place of those: --target NAME=DSN …
  PgServer* store_server = nullptr;            // where the store lies; outlives the cluster
  std::vector<int> coordinator_ports = {};     // free ones otherwise
  // Asked at each start of the i-th one.
  std::function<Surroundings(size_t)> agent_surroundings = [](size_t) { return Surroundings(); };
  std::function<Surroundings(size_t)> coordinator_surroundings = [](size_t) {
    return Surroundings();
  };
};

// Coordinators on the database `store` and agents on the databases `targets` of one
// server, each a real process that may be killed, stopped and started again.
// Thread safety: one thread.
class MiniCluster {
 public:
  // Makes the database `store`; those of the targets must exist. `server` outlives this.
  MiniCluster(PgServer& server, MiniClusterOptions options);

  std::string Addresses() const;
  // `dunlin ARGUMENTS… --coordinator ADDRESSES` to its end.
  RunResult Dunlin(std::vector<std::string> arguments) const;
  // The state of a run as `status -o json` says it; the command's output when it says none.
  std::string State(const std::string& run) const;
  // Until every agent is known to the coordinators: a pattern of targets stands for those that are.
  void WaitForAgents() const;
  // SIGKILL, and another in its place at once.
  void ReplaceAgent(size_t i);
  void ReplaceCoordinator(size_t i);

  Process& agent(size_t i) { return *agents_[i]; }
  Process& coordinator(size_t i) { return *coordinators_[i]; }
  size_t agents() const { return agents_.size(); }
  size_t coordinators() const { return coordinators_.size(); }

 private:
  std::unique_ptr<Process> StartCoordinator(size_t i) const;
  std::unique_ptr<Process> StartAgent(size_t i) const;

  PgServer& server_;
  PgServer& store_server_;
  const MiniClusterOptions options_;
  std::vector<int> ports_;
  std::vector<std::unique_ptr<Process>> coordinators_;
  std::vector<std::unique_ptr<Process>> agents_;
};

}  // namespace dunlin::testing
