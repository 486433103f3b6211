// An operator's limits on a live run (`dunlin throttle`), for good or for a while. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace dunlin::coordinator {

// What a run may do, as far as an operator decides.
struct RunLimits {
  int concurrency = 4;
  int64_t rows_per_second = 0;  // 0 = no limit
  absl::Duration batch_time = absl::Milliseconds(100);
  double ratio = 1;  // the share of its time that each worker works, over 0 to 1

  friend bool operator==(const RunLimits&, const RunLimits&) = default;
};

struct LimitsChange {
  std::optional<int> concurrency;
  std::optional<int64_t> rows_per_second;
  std::optional<absl::Duration> batch_time;
  std::optional<double> ratio;
};

RunLimits Apply(const LimitsChange& change, const RunLimits& limits);

// Those that differ, as "concurrency 4, rows_per_second none": of `of`, where it is not `other`.
std::string LimitsText(const RunLimits& of, const RunLimits& other);

// Why a batch may not take so long; empty = it may. A batch holds row locks, and the application
// must never be the victim of a deadlock (I12).
std::string WhyBatchTooLong(absl::Duration batch_time, absl::Duration deadlock_timeout);

}  // namespace dunlin::coordinator
