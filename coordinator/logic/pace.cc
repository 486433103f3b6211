#include "coordinator/logic/pace.h"

#include <cmath>

#include "common/fault.h"

namespace dunlin::coordinator {
namespace {
constexpr double kRateWeight = 0.4;
constexpr absl::Duration kLongestSample = absl::Seconds(30);
constexpr int64_t kMinRowsToSplit = 2'000;
constexpr absl::Duration kMinWorkToSplit = absl::Seconds(2);
}  // namespace

RateEstimate UpdateRate(const RateEstimate& before, int64_t rows_now, absl::Duration elapsed) {
  const double seconds = absl::ToDoubleSeconds(std::max(elapsed, absl::Milliseconds(1)));
  const double measured =
      static_cast<double>(std::max<int64_t>(0, rows_now - before.rows)) / seconds;
  const bool fresh = before.rows_per_second == 0 || elapsed > kLongestSample;
  return {
      .rows_per_second =
          fresh ? measured : kRateWeight * measured + (1 - kRateWeight) * before.rows_per_second,
      .rows = rows_now};
}

int64_t EstimateEta(int64_t rows_done, int64_t rows_total, double rows_per_second,
                    absl::Duration running) {
  if (rows_per_second < 0.001 || rows_total <= 0 || running < absl::Seconds(3) ||
      rows_done * 100 < rows_total) {
    return -1;
  }
  if (rows_done >= rows_total) return -1;  // more rows than estimated: nobody knows
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(rows_total - rows_done) / rows_per_second));
}

std::vector<int> ShareLeases(const std::vector<LeaseDemand>& demands, int leases_max) {
  std::vector<int> given(demands.size(), 0);
  for (int left = leases_max; left > 0; --left) {
    size_t poorest = demands.size();
    for (size_t i = 0; i < demands.size(); ++i) {
      if (given[i] >= demands[i].grantable) continue;
      if (poorest == demands.size() ||
          demands[i].leased + given[i] < demands[poorest].leased + given[poorest])
        poorest = i;
    }
    if (poorest == demands.size()) break;
    ++given[poorest];
  }
  return given;
}

std::vector<int> ShareTarget(const std::vector<TargetShare>& runs) {
  std::vector<int> given;
  int left = 0;
  for (const TargetShare& run : runs) {
    given.push_back(std::min(1, run.allowed));
    left = std::max(left, run.allowed);
  }
  for (const int one : given) left -= one;
  for (; left > 0; --left) {
    // Whoever would have least for its priority with one more.
    size_t next = runs.size();
    const auto price = [&](size_t i) {
      return static_cast<double>(given[i] + 1) / std::max(1, runs[i].priority);
    };
    for (size_t i = 0; i < runs.size(); ++i) {
      if (given[i] >= runs[i].allowed) continue;
      if (next == runs.size() || price(i) < price(next)) next = i;
    }
    if (next == runs.size()) break;
    ++given[next];
  }
  return given;
}

bool WorthSplitting(int64_t rows_left, double rows_per_second_of_one_shard) {
  const double seconds =
      absl::ToDoubleSeconds(DUNLIN_TUNABLE("coordinator.split.work_min", kMinWorkToSplit));
  return rows_left >= DUNLIN_TUNABLE("coordinator.split.rows_min", kMinRowsToSplit) &&
         static_cast<double>(rows_left) >= seconds * rows_per_second_of_one_shard;
}

}  // namespace dunlin::coordinator
