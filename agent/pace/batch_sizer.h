#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace dunlin::agent {

// How many rows the next batch takes, so that it lasts about `batch_time`: row locks are held for
// as long. Above some 1,000 rows a larger batch is hardly faster, so the time is about harm, not
// speed.
//
// A batch takes fixed + rows · cost: round trips, the commit, a turn on a busy core, and what its
// rows cost. Both are means with forgetting (weight 0.3 for the latest); `fixed` is where the line
// through them meets zero rows (weighted least squares), and is kept while sizes do not vary. Fewer
// rows make only the second part shorter, so that part is never made less than half of
// `batch_time`: or a fixed cost above it would shrink batches to one row, and a run would crawl
// that harms no less for it. A dead band of ±20 % avoids hunting; at most ×2 a step while learning
// and ×1.2 after; a timeout takes a quarter and forbids growth for 10 batches. Pure. One thread.
class BatchSizer {
 public:
  static constexpr int64_t kFirstRows = 100;
  static constexpr int64_t kMinRows = 1;
  static constexpr int64_t kMaxRows = 50'000;

  explicit BatchSizer(absl::Duration batch_time, int64_t first_rows = kFirstRows)
      : batch_time_(batch_time), rows_(std::clamp(first_rows, kMinRows, kMaxRows)) {}

  int64_t rows() const { return rows_; }
  void set_batch_time(absl::Duration batch_time) { batch_time_ = batch_time; }
  // After a committed batch of `rows` that took `duration`.
  void Committed(int64_t rows, absl::Duration duration);
  // After a statement or lock timeout, a deadlock, a serialization failure.
  void TimedOut();
  // From outside, as after a crash of the server: an eighth.
  void Crashed();

 private:
  void Shrink(int64_t divisor);
  void Learn(double rows, double seconds);
  // How many rows make a batch of `batch_time`, by what was learned.
  double Wanted() const;

  absl::Duration batch_time_;
  int64_t rows_;
  // Weighted means of rows, seconds, rows² and rows · seconds; 0 = nothing measured yet.
  double mean_rows_ = 0, mean_seconds_ = 0, mean_rows_squared_ = 0, mean_product_ = 0;
  double fixed_seconds_ = 0;
  bool learning_ = true;
  int no_growth_batches_ = 0;
};

}  // namespace dunlin::agent
