#pragma once

#include <deque>

#include "absl/time/time.h"

#include "agent/signals/crowding.h"
#include "agent/signals/slowdown.h"
#include "coordinator/logic/pace_controller.h"

namespace dunlin::testing {

// A database as far as pace goes: cores shared with an application, a replica that replays so fast,
// row locks, pages that are cold or warm. What is measured is a second old when it is seen.
// Deterministic. One thread.
class SimDatabase {
 public:
  struct World {
    double cores = 4;
    double application = 0;    // cores that it uses, others included; may be over all of them
    double replay = 1e9;       // shards' worth of WAL that the replica replays in a second
    double cold = 1;           // a cold page makes a row so much slower
    double calm_probe = 2e-4;  // seconds
    int connections = 0;       // of the application, in a transaction
  };

  explicit SimDatabase(World world) : world_(world) {}
  World& world() { return world_; }

  // A second of work at that level.
  void Step(const coordinator::PaceLevel& level);
  coordinator::SignalBoard Board() const;
  // In rows of a warm shard's second at full speed.
  double work_done() const { return work_done_; }
  double last_work() const { return last_work_; }
  // What a read took in the last second, over what it would have taken without Dunlin.
  double slowdown() const { return slowdown_; }

 private:
  World world_;
  double typical_ = 0;
  agent::SlowdownWatch watch_;
  agent::CrowdingWatch crowding_;
  double slowdown_ = 1;
  double lag_work_ = 0;  // not yet replayed
  std::deque<double> produced_;
  double work_done_ = 0;
  double last_work_ = 0;
  std::deque<coordinator::SignalBoard> measured_;
};

}  // namespace dunlin::testing
