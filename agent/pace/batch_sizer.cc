#include "agent/pace/batch_sizer.h"

#include <algorithm>
#include <cmath>

namespace dunlin::agent {
namespace {
constexpr double kEwmaWeight = 0.3;
constexpr double kDeadBand = 0.2;
constexpr double kLearningStep = 2.0;
constexpr double kSteadyStep = 1.2;
constexpr int kNoGrowthAfterTimeout = 10;
// A clock's tick; keeps the rate finite.
constexpr absl::Duration kShortest = absl::Microseconds(50);
// Sizes that vary by less, as a share of their mean, do not tell a fixed cost from rows' cost.
constexpr double kTellingSpread = 0.1;
// Rows have a cost, however small.
constexpr double kMostOfItFixed = 0.99;
// The least share of a batch's time that is left to its rows.
constexpr double kLeastForRows = 0.5;
}  // namespace

void BatchSizer::Learn(double rows, double seconds) {
  const double weight = mean_seconds_ == 0 ? 1 : kEwmaWeight;
  const auto note = [&](double& mean, double value) { mean += weight * (value - mean); };
  note(mean_rows_, rows);
  note(mean_seconds_, seconds);
  note(mean_rows_squared_, rows * rows);
  note(mean_product_, rows * seconds);
  const double spread = mean_rows_squared_ - mean_rows_ * mean_rows_;
  if (spread > std::pow(kTellingSpread * mean_rows_, 2)) {
    const double cost = (mean_product_ - mean_rows_ * mean_seconds_) / spread;
    fixed_seconds_ = mean_seconds_ - cost * mean_rows_;
  }
  // No part is more than the whole.
  fixed_seconds_ = std::clamp(fixed_seconds_, 0.0, seconds);
}

double BatchSizer::Wanted() const {
  const double fixed = std::min(fixed_seconds_, kMostOfItFixed * mean_seconds_);
  const double cost = (mean_seconds_ - fixed) / mean_rows_;
  const double wanted = absl::ToDoubleSeconds(batch_time_);
  return std::max(wanted - fixed, kLeastForRows * wanted) / cost;
}

void BatchSizer::Committed(int64_t rows, absl::Duration duration) {
  if (rows <= 0) return;  // an empty range says nothing about rows
  Learn(static_cast<double>(rows), absl::ToDoubleSeconds(std::max(duration, kShortest)));
  const double want = Wanted();
  const double now = static_cast<double>(rows_);
  if (want > now * (1 + kDeadBand)) {
    if (no_growth_batches_ > 0) {
      --no_growth_batches_;
      return;
    }
    // Small sizes grow by at least one row, or 1.2 × 1 would stay 1 for ever.
    const double step = std::max(now * (learning_ ? kLearningStep : kSteadyStep), now + 1);
    rows_ = static_cast<int64_t>(std::min(want, step));
  } else {
    learning_ = false;
    no_growth_batches_ = std::max(0, no_growth_batches_ - 1);
    if (want < now * (1 - kDeadBand)) rows_ = static_cast<int64_t>(want);
  }
  rows_ = std::clamp(rows_, kMinRows, kMaxRows);
}

void BatchSizer::Shrink(int64_t divisor) {
  rows_ = std::clamp(rows_ / divisor, kMinRows, kMaxRows);
  learning_ = false;
  no_growth_batches_ = kNoGrowthAfterTimeout;
}

void BatchSizer::TimedOut() { Shrink(4); }
void BatchSizer::Crashed() { Shrink(8); }

}  // namespace dunlin::agent
