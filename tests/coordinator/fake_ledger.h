#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dunlin/agent/v1/agent_service.pb.h"

#include "common/mutex.h"

namespace dunlin::coordinator {

// The ledger's rules without a target, for agents that tests play: keys are the numbers from 1 on,
// a batch raises the count of every key in its range by one, and what is not fenced off counts.
// Thread safety: any thread.
class FakeLedger {
 public:
  struct Shard {
    std::string id;
    int step = 0;
    std::optional<int> lower;
    int upper = 0;
    int cursor = 0;
    int64_t epoch = 0;
    int64_t seq = 0;
    bool done = false;
  };

  // `keys` rows in each step's table, planned as `shards` shards.
  FakeLedger(int keys, int shards) : keys_(keys), shards_per_step_(shards) {}

  // All shards of the step; makes them when there are none.
  std::vector<dunlin::agent::v1::LedgerShard> Plan(int step, const std::string& relation);
  // What the ledger has; nullopt: its epoch is not lower.
  std::optional<Shard> Claim(const std::string& id, int64_t epoch);
  // One batch of at most `rows` keys under that epoch and seq; nullopt: fenced off.
  std::optional<Shard> Batch(const std::string& id, int64_t epoch, int64_t seq, int rows);
  // Halves what is left; nullopt: fenced off, or nothing to halve. Returns the child.
  std::optional<Shard> Split(const std::string& id, int64_t epoch);
  // Whether all is done and `shards_known` is right; writes the finish row if asked.
  bool Finalize(int64_t shards_known, bool finish);
  std::vector<dunlin::agent::v1::LedgerShard> All() const;
  // A failover that lost everything.
  void Forget();
  // What a replica has that replays no further, and a failover to it.
  struct State {
    std::map<std::string, Shard> shards;
    std::map<std::pair<int, int>, int> counts;
    std::string relation;
    bool planned = false;
    bool finished = false;
  };
  State Copy() const;
  void FailOverTo(const State& state);

  bool planned() const;
  bool finished() const;
  int64_t EpochOf(const std::string& id) const;
  // Keys of a step whose count is not one.
  int WrongKeys(int step) const;
  int keys_done() const;

 private:
  dunlin::agent::v1::LedgerShard ToProto(const Shard& shard) const;

  const int keys_;
  const int shards_per_step_;
  mutable Mutex mutex_;
  State is_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::coordinator
