#include "tests/sim/sim_database.h"

#include <algorithm>
#include <cmath>

namespace dunlin::testing {

using coordinator::PaceLevel;
using coordinator::SignalBoard;

namespace {
// A wait for one of the cores, over none.
double Queue(double load, double cores) {
  return load < 0.95 ? 1 / (1 - std::pow(load, cores)) : 20 + 100 * (load - 0.95);
}
}  // namespace

void SimDatabase::Step(const PaceLevel& level) {
  // Short batches pay the fixed cost of a transaction more often: a fifth at 2 ms.
  const double batch = absl::ToDoubleSeconds(level.batch_time);
  const double useful = batch / (batch + 0.0005);
  const double asked = level.shards * level.duty;
  const double used = world_.application + asked;
  const double share = used <= world_.cores ? 1 : world_.cores / used;
  last_work_ = asked * share * useful / world_.cold;
  work_done_ += last_work_;

  lag_work_ = std::max(0.0, lag_work_ + last_work_ - world_.replay);
  produced_.push_back(last_work_);
  if (produced_.size() > 5) produced_.pop_front();
  double recent = 0;
  for (const double one : produced_) recent += one / static_cast<double>(produced_.size());
  const double lag = lag_work_ / std::max({recent, 0.01, std::min(world_.replay, 1.0)});

  // Waiting for a core: as in a queue of so many servers, and behind whole batches once it is full.
  const auto probe_beside = [&](double shards) {
    const double load = (world_.application + shards) / world_.cores;
    return world_.calm_probe * Queue(load, world_.cores) +
           std::max(0.0, load - 0.7) * shards * batch;
  };
  SignalBoard board{.age = absl::Seconds(1)};
  const double probe = probe_beside(asked);
  const double at_rest = probe_beside(0);
  slowdown_ = probe / at_rest;
  constexpr int kReads = 100;
  const int beside_batches =
      level.shards > 0 ? static_cast<int>(std::ceil(kReads * level.duty)) : 0;
  for (int read = 0; read < kReads; ++read) {
    // All together as long as they are on the average.
    const bool works = read < beside_batches;
    const double more = works ? (probe - at_rest) * kReads / beside_batches : 0;
    watch_.Note(absl::Seconds(at_rest + more), works);
  }
  for (int look = 0; look < kReads; ++look)
    crowding_.Note(std::lround(20 * world_.application * slowdown_), look < beside_batches);
  std::vector<agent::SignalSample> watched;
  watch_.Report(watched);
  crowding_.Report(watched);
  typical_ = typical_ == 0 ? probe : 0.9 * typical_ + 0.1 * probe;
  board.samples.push_back({.kind = SignalKind::kProbeLatency,
                           .value = probe,
                           .baseline = world_.calm_probe,
                           .typical = typical_});
  for (const agent::SignalSample& sample : watched)
    board.samples.push_back(
        {.kind = sample.kind, .value = sample.value, .baseline = sample.baseline});
  board.samples.push_back({.kind = SignalKind::kReplicaLag, .subject = "replica-1", .value = lag});
  measured_.push_back(board);
  if (measured_.size() > 2) measured_.pop_front();
}

SignalBoard SimDatabase::Board() const {
  return measured_.empty() ? SignalBoard{.age = absl::Seconds(1)} : measured_.front();
}

}  // namespace dunlin::testing
