#pragma once

#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/chaos/chaos_world.h"

namespace dunlin::testing {

// Draws faults from a seed, injects them into a world, ends those that last, and counts which of
// them struck a transaction that was open on a shard. Thread safety: one thread.
class ChaosFaults {
 public:
  // `pause`: what comes between two faults at most; no fault waits longer for a batch to strike.
  ChaosFaults(ChaosWorld& world, uint64_t seed, absl::Duration pause);

  // Waits a while for a transaction to strike at, then strikes.
  void InjectNext();
  // Ends what has lasted long enough; all, if asked.
  void EndSome(bool all);
  int injected() const { return injected_; }
  // Faults of which at least one open transaction on a shard was a victim: aborted, or cut off in
  // its COMMIT.
  int struck();
  // One line for each kind.
  std::string Report();

  // Ends a full disk before its time: for what nothing but room helps.
  void FreeDisk();

 private:
  struct Kind {
    const char* name;
    double weight;
    // False when there was nothing to do it to.
    std::function<bool()> inject;
  };
  struct Count {
    int injected = 0;
    int struck = 0;
    int in_commit = 0;  // of them
  };
  struct Hit {
    size_t kind;
    std::vector<std::string> xids;
    int committing = 0;
  };

  void AddProcessFaults();
  void AddDatabaseFaults();
  void AddNetworkFaults();
  void Add(const char* name, double weight, std::function<bool()> inject);
  void AddProxyFaults(const char* cut, const char* hold, const char* slow, double weight,
                      std::function<TcpProxy&()> choose, bool of_agent);

  size_t DrawAgent() { return random_() % ChaosWorld::kAgents; }
  absl::Duration DrawDuration() { return absl::Milliseconds(300 + random_() % 3000); }
  // Until one is open (of this agent), for a while; they are noted as what the fault strikes.
  std::vector<OpenTransaction> AwaitOpen(std::optional<size_t> agent = std::nullopt);
  void EndAfter(absl::Duration duration, std::function<void()> end);
  // SIGSTOP for longer than a lease.
  void Stop(const std::string& who, std::function<Process*()> process);
  bool LoseStandby();

  ChaosWorld& world_;
  std::mt19937_64 random_;
  const absl::Duration wait_for_open_;
  std::vector<Kind> kinds_;
  std::vector<Count> counts_;
  std::vector<Hit> hits_;
  Hit striking_;
  int injected_ = 0;
  // What lasts: when it ends, and how.
  std::multimap<absl::Duration, std::function<void()>> ends_;
  std::set<std::string> stopped_;
  std::vector<std::unique_ptr<pg::Connection>> snapshots_;
  size_t proxied_agent_ = 0;
};

}  // namespace dunlin::testing
