#pragma once

#include <algorithm>
#include <vector>

#include "absl/time/time.h"

#include "agent/signals/recent_mean.h"
#include "agent/signals/signal.h"

namespace dunlin::agent {

// How much longer a one-row read takes for Dunlin's work: the mean of the latest seconds over the
// mean of those reads among the latest that began while no session of Dunlin's was in a
// transaction. Both come from the same seconds, so that what the application and its neighbours do
// falls on both alike. Means, since harm is in the slow reads before it is in the median; one read
// counts for no more than ten usual ones. Pure: the caller brings the times. One thread.
class SlowdownWatch {
 public:
  // A read took `took`; `works`: a session of Dunlin's was in a transaction just before.
  void Note(absl::Duration took, bool works) {
    double seconds = absl::ToDoubleSeconds(took);
    if (rest_.count >= kReadsToKnow) seconds = std::min(seconds, kLongestRead * rest_.Mean());
    all_.Add(seconds);
    if (works) return;
    latest_rest_.of += seconds;
    ++latest_rest_.count;
  }
  // Once a second. Nothing while too little is known of the moments of rest, or that is old.
  void Report(std::vector<SignalSample>& samples) {
    // A moment between two batches that follow at once is no rest: what waited for them still
    // waits.
    if (latest_rest_.count >= kShareOfRest * all_.latest().count && latest_rest_.count > 0) {
      rest_ = {rest_.of + latest_rest_.of, rest_.count + latest_rest_.count};
      reports_without_rest_ = 0;
    }
    latest_rest_ = {};
    all_.EndSecond();
    if (rest_.count >= kReadsToKnow && all_.count() >= kReadsToKnow &&
        ++reports_without_rest_ <= kReportsOfRest) {
      const double more = all_.value() - rest_.Mean() - kNoHarm;
      samples.push_back(
          {.kind = SignalKind::kProbeSlowdown, .value = 1 + std::max(0.0, more) / rest_.Mean()});
    }
    if (rest_.count > kRestReads) rest_ = {rest_.Mean() * kRestReads, kRestReads};
  }

 private:
  static constexpr double kReadsToKnow = 15;
  static constexpr double kRestReads = 250;
  static constexpr double kShareOfRest = 0.25;
  static constexpr double kLongestRead = 10;
  static constexpr double kNoHarm = 20e-6;  // seconds that nobody feels
  static constexpr int kReportsOfRest = 20;
  RecentMean all_;
  RecentMean::Sum rest_, latest_rest_;
  int reports_without_rest_ = 0;
};

}  // namespace dunlin::agent
