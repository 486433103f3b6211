#include "coordinator/logic/throttle.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace dunlin::coordinator {

RunLimits Apply(const LimitsChange& change, const RunLimits& limits) {
  return {.concurrency = change.concurrency.value_or(limits.concurrency),
          .rows_per_second = change.rows_per_second.value_or(limits.rows_per_second),
          .batch_time = change.batch_time.value_or(limits.batch_time),
          .ratio = change.ratio.value_or(limits.ratio)};
}

std::string LimitsText(const RunLimits& of, const RunLimits& other) {
  std::vector<std::string> parts;
  if (of.concurrency != other.concurrency)
    parts.push_back(absl::StrCat("concurrency ", of.concurrency));
  if (of.rows_per_second != other.rows_per_second) {
    parts.push_back(absl::StrCat(
        "rows_per_second ", of.rows_per_second == 0 ? "none" : absl::StrCat(of.rows_per_second)));
  }
  if (of.batch_time != other.batch_time)
    parts.push_back(absl::StrCat("batch_time ", absl::FormatDuration(of.batch_time)));
  if (of.ratio != other.ratio) parts.push_back(absl::StrFormat("ratio %g", of.ratio));
  return absl::StrJoin(parts, ", ");
}

std::string WhyBatchTooLong(absl::Duration batch_time, absl::Duration deadlock_timeout) {
  if (deadlock_timeout <= absl::ZeroDuration() || batch_time * 2 <= deadlock_timeout) return "";
  return absl::StrCat("batch_time ", absl::FormatDuration(batch_time),
                      " is more than half of the target's deadlock_timeout (",
                      absl::FormatDuration(deadlock_timeout),
                      "): the application could become a deadlock victim. Choose a shorter one");
}

}  // namespace dunlin::coordinator
