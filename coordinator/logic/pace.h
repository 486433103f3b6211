// Shares, rates and estimates of runs: pure functions of observed numbers. What is in work is
// pace_controller's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace dunlin::coordinator {

// A lease's share of a limit over all agents. Divided by what may be in work, not by what is, so
// that the sum never passes it.
inline double ShareOfRate(double rows_per_second, int allowed, int64_t shards_open) {
  if (rows_per_second <= 0) return 0;
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(allowed, shards_open));
  return rows_per_second / static_cast<double>(parts);
}

struct RateEstimate {
  double rows_per_second = 0;
  int64_t rows = 0;  // when it was measured
};
// EWMA over samples of at least a second; `elapsed` since the former sample.
RateEstimate UpdateRate(const RateEstimate& before, int64_t rows_now, absl::Duration elapsed);

// Seconds to go; -1 before it means something: less than 1 % done or 3 s run, nothing moving, or no
// estimate of the whole.
int64_t EstimateEta(int64_t rows_done, int64_t rows_total, double rows_per_second,
                    absl::Duration running);

// What one run could get of the leases that an agent asks for.
struct LeaseDemand {
  int64_t leased = 0;     // in work already
  int64_t grantable = 0;  // more at most: shards that wait, and room under its concurrency
};
// Fair over runs: each lease goes to the run with the fewest in work. As many numbers as demands,
// none over `grantable`, their sum at most `leases_max`.
std::vector<int> ShareLeases(const std::vector<LeaseDemand>& demands, int leases_max);

// A run that works on a target, with what its own pace and limits allow it.
struct TargetShare {
  int allowed = 1;
  int priority = 100;  // its share beside others: 200 gets twice what 100 gets
};
// Shares what the target bears, which is the most that any one of its runs is allowed, by priority:
// none over its own `allowed`, and each that is allowed any at least one, so that no run starves.
std::vector<int> ShareTarget(const std::vector<TargetShare>& runs);

// Whether a shard with so many rows left is worth splitting: at least two seconds of work.
bool WorthSplitting(int64_t rows_left, double rows_per_second_of_one_shard);

}  // namespace dunlin::coordinator
