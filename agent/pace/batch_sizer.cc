#include "agent/pace/batch_sizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dunlin::agent {
namespace {
constexpr double kEwmaWeight = 0.25;
constexpr double kDeadBand = 0.2;
constexpr double kLearningStep = 2.0;
constexpr double kSteadyStep = 1.2;
constexpr int kNoGrowthAfterTimeout = 10;
// What another size is judged by, and for how long none is tried when it did not pay.
constexpr double kSmallerStep = 0.67;
constexpr double kShorterThatPays = 0.75;
constexpr int64_t kLargerStep = 2;
constexpr double kLongerThatPays = 1.2;
constexpr int kBatchesToJudge = 5;
constexpr int kBatchesBetweenTrials = 30;
// So much longer than when a trial was taken back, it is another matter.
constexpr double kAnotherMatter = 2;
// A clock's tick; keeps the rate finite.
constexpr absl::Duration kShortest = absl::Microseconds(50);
}  // namespace

void BatchSizer::SetBatchTime(absl::Duration batch_time) {
  if (batch_time == batch_time_) return;
  const double longer = absl::FDivDuration(batch_time, batch_time_);
  batch_time_ = batch_time;
  // What did not pay was judged by another time.
  left_.reset();
  until_trial_ = 0;
  if (longer > 1) return;
  const double now = static_cast<double>(rows_);
  const double want = mean_seconds_ > 0 ? Want() : now * longer;
  if (want < now) GoTo(static_cast<int64_t>(want));
}

double BatchSizer::Want() const {
  return mean_rows_ / mean_seconds_ * absl::ToDoubleSeconds(batch_time_);
}

void BatchSizer::Committed(int64_t rows, absl::Duration duration) {
  if (rows <= 0) return;  // an empty range says nothing about rows
  const double seconds = absl::ToDoubleSeconds(std::max(duration, kShortest));
  const double weight = std::max(kEwmaWeight, 1.0 / (batches_of_size_ + 1));
  mean_rows_ += weight * (static_cast<double>(rows) - mean_rows_);
  mean_seconds_ += weight * (seconds - mean_seconds_);
  ++batches_of_size_;
  const double want = Want();
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
    left_.reset();
  } else {
    learning_ = false;
    no_growth_batches_ = std::max(0, no_growth_batches_ - 1);
    if (want < now * (1 - kDeadBand)) {
      LastedTooLong(want);
    } else {
      left_.reset();  // it has reached what was wanted
    }
  }
  rows_ = std::clamp(rows_, kMinRows, kMaxRows);
}

void BatchSizer::LastedTooLong(double want) {
  if (batches_of_size_ < kBatchesToJudge) return;
  const double now = static_cast<double>(rows_);
  const Size here{.rows = rows_, .seconds = now * mean_seconds_ / mean_rows_};
  if (until_trial_ > 0 && here.seconds < kAnotherMatter * kept_seconds_) {
    --until_trial_;
    return;
  }
  if (left_) {
    const double longer = here.seconds / left_->seconds;
    const bool was_larger = rows_ > left_->rows;
    if (was_larger ? longer > kLongerThatPays
                   : longer > kShorterThatPays && longer < kAnotherMatter)
      return TakeBack();
    larger_is_next_ = was_larger;
  }
  left_ = here;
  const bool larger = std::exchange(larger_is_next_, false) || rows_ == kMinRows;
  GoTo(larger ? rows_ * kLargerStep : static_cast<int64_t>(std::min(want, kSmallerStep * now)));
}

void BatchSizer::TakeBack() {
  larger_is_next_ = left_->rows > rows_;
  GoTo(left_->rows);
  kept_seconds_ = left_->seconds;
  left_.reset();
  until_trial_ = kBatchesBetweenTrials;
}

void BatchSizer::GoTo(int64_t rows) {
  rows_ = std::clamp(rows, kMinRows, kMaxRows);
  mean_rows_ = mean_seconds_ = 0;  // of the new size alone
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
