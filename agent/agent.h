#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include <grpcpp/channel.h>

#include "common/clock.h"
#include "common/pg/connection.h"
#include "common/secret.h"

namespace dunlin::agent {

// A database to work on.
struct AgentTarget {
  Secret dsn;
  // Its connections go through a pooler in transaction mode.
  bool pooled = false;
};

struct AgentOptions {
  // At least one; alike, asked in turn.
  std::vector<std::shared_ptr<grpc::Channel>> coordinators;
  // By name.
  std::map<std::string, AgentTarget> targets;
  // Shards and tasks in work at once, 1 to 256.
  int slots = 4;
  // Definitions that may run are looked for here, by digest; empty = `any_migration` decides.
  std::string migrations_dir;
  // Without a migrations_dir: accept what the coordinator sends.
  bool any_migration = false;
  // Ends by itself when no run of its targets was live for so long; infinite = never.
  absl::Duration exit_when_idle = absl::InfiniteDuration();
  // "<host>:<pid>" when empty.
  std::string name;
  // For rehearsals on a scratch database (`dunlin test`), 0 = as work needs it: every batch takes
  // so many rows, whatever the time; a plan has as many shards, if there are so many keys.
  int64_t batch_rows = 0;
  int shards = 0;
  // Watches the calls of leased work to the targets; outlives the agent.
  pg::CallWatch* watch = nullptr;
};

// Leases shards and tasks from a coordinator and works on them, each slot on a thread and a
// connection of its own. Stateless: it can be killed at any instruction; what must be remembered is
// in the ledger. Thread safety: Run() from one thread. Blocking: until `stop` is requested or it
// was idle for long enough. On stop it drains: the batches in flight end, leases are released.
class Agent {
 public:
  // INVALID_ARGUMENT for bad options, as sentences.
  static absl::StatusOr<std::unique_ptr<Agent>> Make(AgentOptions options,
                                                     Clock& clock = SystemClock());
  ~Agent();
  void Run(std::stop_token stop);

 private:
  struct Impl;
  explicit Agent(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dunlin::agent
