#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace dunlin::agent {

// Spreads rows over time: a token bucket that may run into debt by one batch (its size is known
// only afterwards). Pure: the caller brings the monotonic time. One thread.
class RateLimiter {
 public:
  // How long to wait before the next batch may begin; zero without a limit.
  absl::Duration WaitBefore(double rows_per_second, absl::Duration now) const {
    if (rows_per_second <= 0) return absl::ZeroDuration();
    return std::max(absl::ZeroDuration(), ready_at_ - now);
  }
  // A batch of `rows` began at `began`.
  void Spent(int64_t rows, double rows_per_second, absl::Duration began) {
    if (rows_per_second <= 0) return;
    ready_at_ =
        std::max(ready_at_, began) + absl::Seconds(static_cast<double>(rows) / rows_per_second);
  }
  // No batch takes more than half a second's worth, so that the rate is even.
  static int64_t MaxRows(double rows_per_second) {
    if (rows_per_second <= 0) return INT64_MAX;
    return std::max<int64_t>(1, static_cast<int64_t>(rows_per_second / 2));
  }

 private:
  absl::Duration ready_at_ = absl::ZeroDuration();
};

}  // namespace dunlin::agent
