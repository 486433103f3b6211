#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "agent/pace/batch_sizer.h"
#include "common/ids.h"
#include "common/mutex.h"

namespace dunlin::agent {

// What batches of a step have grown to, so that the next shard of it begins there and not at 100
// rows again. Holds one number for each step of a live run (I10). Thread safety: any thread.
class SizeMemory {
 public:
  // `fixed_rows` > 0: what every batch takes, instead.
  explicit SizeMemory(int64_t fixed_rows = 0) : fixed_rows_(fixed_rows) {}

  int64_t fixed_rows() const { return fixed_rows_; }
  void Remember(const RunId& run, int step, int64_t rows) {
    MutexLock lock(mutex_);
    if (rows_.size() >= kMaxEntries) rows_.clear();
    rows_[{run.value(), step}] = rows;
  }
  // Half of what is remembered, since this shard's pages may be colder.
  int64_t FirstRows(const RunId& run, int step) {
    MutexLock lock(mutex_);
    const auto it = rows_.find({run.value(), step});
    if (it == rows_.end()) return BatchSizer::kFirstRows;
    return std::max(BatchSizer::kMinRows, it->second / 2);
  }

 private:
  static constexpr size_t kMaxEntries = 256;
  const int64_t fixed_rows_;
  Mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::agent
