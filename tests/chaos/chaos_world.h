#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "tests/testlib/mini_cluster.h"
#include "tests/testlib/privileged.h"
#include "tests/testlib/tcp_proxy.h"

namespace dunlin::testing {

// A transaction on a shard that has written something, or is in its COMMIT.
struct OpenTransaction {
  std::string xid;
  int client_port = 0;
  int backend = 0;
  bool committing = false;  // waits in COMMIT for a synchronous standby
};

// The application: short transactions on the same rows, all the while, until destroyed. Counts what
// it was told, so that a lost change of its own is found.
// Thread safety: any thread.
class Application {
 public:
  Application(PgServer& server, int rows, uint64_t seed);
  struct Tally {
    int64_t committed = 0;
    int64_t in_doubt = 0;   // the connection broke
    int64_t deadlocks = 0;  // it was the victim (I12: never)
  };
  Tally tally() const;
  static constexpr int kRowsTouched = 3;  // in each of its transactions

 private:
  void Run(std::stop_token stop, int rows, uint64_t seed);
  PgServer& server_;
  mutable Mutex mutex_;
  Tally tally_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;
};

// Two runs at a time by three agents and a coordinator behind proxies, round after round, and one
// by `dunlin local`, again and again; each changes every row of a table once. An audit trigger is
// the oracle.
// Thread safety: one thread.
class ChaosWorld {
 public:
  static constexpr size_t kAgents = 3;
  static constexpr absl::Duration kLeaseTtl = absl::Seconds(3);

  explicit ChaosWorld(uint64_t seed);
  ~ChaosWorld();

  // `between_tries`: called when the coordinator could not be reached, before it is asked again.
  void StartRound(const std::function<void()>& between_tries);
  bool RoundFinished();
  // What is wrong with the rows after a finished round; empty = nothing. Begins a new count.
  std::string CheckRound();
  // Starts `dunlin local` again when it has died, and with the next migration when it has finished
  // and every row is right (if `next`). What is wrong; empty = nothing.
  std::string LookAfterLocal(bool next);
  // What is wrong with the application's own changes.
  std::string CheckApplication();
  // A run that does not go on by itself; empty = none.
  std::string NeedsPerson();
  std::string Describe();
  int rounds() const { return rounds_; }
  int local_rounds() const { return local_rounds_; }

  // Transactions on shards that are open now; of one agent's connections, if one is named.
  std::vector<OpenTransaction> OpenTransactions(std::optional<size_t> agent = std::nullopt);
  // "in progress", "committed" or "aborted".
  std::string StatusOf(const std::string& xid);

  Clock& clock = SystemClock();
  // Everybody's time of day is an hour or more from that of the others they talk to, this process
  // among them.
  static constexpr int kHour = 3600;
  static constexpr std::array<int, kAgents> kAgentOff = {2 * kHour, -2 * kHour, kHour};
  PgServer target{{}, -kHour};
  PgServer store{{}, kHour};
  std::unique_ptr<SmallDisk> disk;            // may be absent
  std::unique_ptr<NetworkNamespace> network;  // agent 0's; may be absent
  // Their proxies: to the target, and to the coordinator.
  std::array<std::unique_ptr<TcpProxy>, kAgents> to_target, to_coordinator;
  std::unique_ptr<TcpProxy> to_store;
  std::unique_ptr<PgBouncer> bouncer;  // between agent 2 and its proxy; may be absent
  std::unique_ptr<MiniCluster> cluster;
  std::unique_ptr<Process> local;  // empty between its runs

  void StartLocal();

 private:
  void MakeTables();
  void CheckClocks();
  std::string CheckTable(const std::string& table, int round);
  std::string WriteMigration(const std::string& name, const std::string& table, int round);

  const std::string folder_;
  std::unique_ptr<Application> application_;
  std::vector<std::string> runs_;  // of this round
  std::string local_file_;
  int rounds_ = 0, local_rounds_ = 0;
};

}  // namespace dunlin::testing
