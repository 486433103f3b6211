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
}  // namespace

void BatchSizer::Committed(int64_t rows, absl::Duration duration) {
  if (rows <= 0) return;  // an empty range says nothing about rows
  const double measured =
      static_cast<double>(rows) / absl::ToDoubleSeconds(std::max(duration, kShortest));
  rows_per_second_ = rows_per_second_ == 0
                         ? measured
                         : (1 - kEwmaWeight) * rows_per_second_ + kEwmaWeight * measured;
  const double want = rows_per_second_ * absl::ToDoubleSeconds(batch_time_);
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
