#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <utility>

#include "absl/time/time.h"

namespace dunlin::agent {

// Which position of the WAL was written when: turns "how far behind" into "how long", also for a
// replica whose replay stands still, of which the server itself says nothing. Pure. One thread.
class WalHistory {
 public:
  void Note(absl::Duration now, int64_t position) {
    if (!seen_.empty() && seen_.back().second == position) return;
    seen_.emplace_back(now, position);
    if (seen_.size() > kMostSeen) seen_.pop_front();
  }
  // How long ago the first position behind `position` was written; at least, once that is
  // forgotten.
  absl::Duration BehindBy(absl::Duration now, int64_t position) const {
    for (const auto& [at, written] : seen_) {
      if (written > position) return now - at;
    }
    return absl::ZeroDuration();
  }
  // Bytes a second over the latest three seconds; noted about once a second.
  double BytesPerSecond(absl::Duration now) const {
    if (seen_.empty()) return 0;
    const absl::Duration start = now - kRateOver;
    auto from = seen_.rbegin();
    while (from->first > start && std::next(from) != seen_.rend()) ++from;
    const double seconds = absl::ToDoubleSeconds(now - std::max(from->first, start));
    return seconds <= 0 ? 0 : static_cast<double>(seen_.back().second - from->second) / seconds;
  }

 private:
  // Ten minutes of busy seconds.
  static constexpr size_t kMostSeen = 600;
  static constexpr absl::Duration kRateOver = absl::Seconds(3);
  std::deque<std::pair<absl::Duration, int64_t>> seen_;
};

}  // namespace dunlin::agent
