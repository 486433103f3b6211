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
// What a step down is judged by, and for how long it is not tried again when it did not pay.
constexpr double kTellingStep = 0.67;
constexpr double kShorterThatPays = 0.75;
constexpr int kBatchesToJudge = 4;
constexpr int kNoShrinkingBatches = 50;
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
  ++batches_of_size_;
  const double want = rows_per_second_ * absl::ToDoubleSeconds(batch_time_);
  const double now = static_cast<double>(rows_);
  if (want > now * (1 + kDeadBand)) {
    if (no_growth_batches_ > 0) {
      --no_growth_batches_;
      return;
    }
    const auto step = static_cast<int64_t>(now * (learning_ ? kLearningStep : kSteadyStep));
    // Small sizes grow by at least one row, or 1.2 × 1 would stay 1 for ever, and so would 1 where
    // most of a batch is a fixed cost.
    rows_ = std::max(rows_ + 1, std::min(static_cast<int64_t>(want), step));
    shrunk_from_.reset();
  } else {
    learning_ = false;
    no_growth_batches_ = std::max(0, no_growth_batches_ - 1);
    if (want < now * (1 - kDeadBand)) {
      ShrinkTo(want);
    } else {
      shrunk_from_.reset();  // it has reached what was wanted
    }
  }
  rows_ = std::clamp(rows_, kMinRows, kMaxRows);
}

void BatchSizer::ShrinkTo(double want) {
  if (no_shrinking_batches_ > 0) {
    --no_shrinking_batches_;
    return;
  }
  const double now = static_cast<double>(rows_);
  const Size here{.rows = rows_, .seconds = now / rows_per_second_};
  if (shrunk_from_ && now <= kTellingStep * static_cast<double>(shrunk_from_->rows)) {
    if (batches_of_size_ < kBatchesToJudge) return;
    if (here.seconds > kShorterThatPays * shrunk_from_->seconds) {
      rows_ = shrunk_from_->rows;
      rows_per_second_ = 0;
      shrunk_from_.reset();
      no_shrinking_batches_ = kNoShrinkingBatches;
      return;
    }
    shrunk_from_ = here;
  }
  if (!shrunk_from_) shrunk_from_ = here;
  rows_ = static_cast<int64_t>(want);
  rows_per_second_ = 0;  // of the new size alone
  batches_of_size_ = 0;
}

void BatchSizer::Shrink(int64_t divisor) {
  rows_ = std::clamp(rows_ / divisor, kMinRows, kMaxRows);
  learning_ = false;
  no_growth_batches_ = kNoGrowthAfterTimeout;
}

void BatchSizer::TimedOut() { Shrink(4); }
void BatchSizer::Crashed() { Shrink(8); }

}  // namespace dunlin::agent
