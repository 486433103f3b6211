#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace dunlin::agent {

// How many rows the next batch takes, so that it lasts about `batch_time`: row locks are held for
// as long. Above some 1,000 rows a larger batch is hardly faster, so the time is about harm, not
// speed.
//
// rate = mean rows / mean duration, each an EWMA of weight 0.25 (the plain mean of a new size's
// first four batches); want = rate · batch_time; a dead band of ±20 % avoids hunting; at most ×2 a
// step while learning and ×1.2 after; a timeout takes a quarter and forbids growth for 10 batches.
//
// Fewer rows must make shorter batches: round trips, the commit, a turn on a busy core and an index
// that is read from the middle cost the same for one row. Where batches that are smaller by a third
// or more are not shorter by a quarter, they get their rows back for 30 batches, and the next trial
// is of twice the rows, as long as they take hardly longer: with a fixed cost above `batch_time` a
// run would end at one row a batch, crawl, and harm no less for it. Pure. One thread.
class BatchSizer {
 public:
  static constexpr int64_t kFirstRows = 100;
  static constexpr int64_t kMinRows = 1;
  static constexpr int64_t kMaxRows = 50'000;

  explicit BatchSizer(absl::Duration batch_time, int64_t first_rows = kFirstRows)
      : batch_time_(batch_time), rows_(std::clamp(first_rows, kMinRows, kMaxRows)) {}

  int64_t rows() const { return rows_; }
  // A shorter one holds from the next batch on.
  void SetBatchTime(absl::Duration batch_time);
  // After a committed batch of `rows` that took `duration`.
  void Committed(int64_t rows, absl::Duration duration);
  // After a statement or lock timeout, a deadlock, a serialization failure.
  void TimedOut();
  // From outside, as after a crash of the server: an eighth.
  void Crashed();

 private:
  // A size, and what batches of it took on average.
  struct Size {
    int64_t rows;
    double seconds;
  };

  void Shrink(int64_t divisor);
  double Want() const;  // rows; something is measured
  void LastedTooLong(double want);
  void TakeBack();
  void GoTo(int64_t rows);

  absl::Duration batch_time_;
  int64_t rows_;
  double mean_rows_ = 0, mean_seconds_ = 0;  // 0 = nothing measured yet
  bool learning_ = true;
  int no_growth_batches_ = 0;
  std::optional<Size> left_;  // for a size of which it is not yet known whether it pays
  bool larger_is_next_ = false;
  int batches_of_size_ = 0;  // since the last trial began or was taken back
  int until_trial_ = 0;
  double kept_seconds_ = 0;  // what batches took of the size that was kept
};

}  // namespace dunlin::agent
