#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "agent/signals/signal.h"

namespace dunlin::agent {

// How much longer a one-row read takes for Dunlin's work: the mean of the latest seconds over the
// mean of those reads among the latest that began while no session of Dunlin's was in a
// transaction. Both come from the same seconds, so that what the application and its neighbours do
// falls on both alike. Means, since harm is in the slow reads before it is in the median; one read
// counts for no more than ten usual ones. What is over is soon forgotten: of the latest four
// seconds and the latest two, the smaller mean counts. Pure: the caller brings the times. One
// thread.
class SlowdownWatch {
 public:
  // A read took `took`; `works`: a session of Dunlin's was in a transaction just before.
  void Note(absl::Duration took, bool works) {
    double seconds = absl::ToDoubleSeconds(took);
    if (rest_.reads >= kReadsToKnow) seconds = std::min(seconds, kLongestRead * rest_.Mean());
    latest_.seconds += seconds;
    ++latest_.reads;
    if (works) return;
    latest_rest_.seconds += seconds;
    ++latest_rest_.reads;
  }
  // Once a second. Nothing while too little is known of the moments of rest, or that is old.
  void Report(std::vector<SignalSample>& samples) {
    // A moment between two batches that follow at once is no rest: what waited for them still
    // waits.
    if (latest_rest_.reads >= kShareOfRest * latest_.reads && latest_rest_.reads > 0) {
      rest_ = {rest_.seconds + latest_rest_.seconds, rest_.reads + latest_rest_.reads};
      reports_without_rest_ = 0;
    }
    latest_rest_ = {};
    all_ = {all_.seconds * kKept + latest_.seconds, all_.reads * kKept + latest_.reads};
    const Reads two = {before_.seconds + latest_.seconds, before_.reads + latest_.reads};
    if (rest_.reads >= kReadsToKnow && two.reads >= kReadsToKnow &&
        ++reports_without_rest_ <= kReportsOfRest) {
      const double more = std::min(all_.Mean(), two.Mean()) - rest_.Mean() - kNoHarm;
      samples.push_back(
          {.kind = SignalKind::kProbeSlowdown, .value = 1 + std::max(0.0, more) / rest_.Mean()});
    }
    before_ = std::exchange(latest_, {});
    if (rest_.reads > kRestReads) rest_ = {rest_.Mean() * kRestReads, kRestReads};
  }

 private:
  static constexpr double kReadsToKnow = 15;
  static constexpr double kRestReads = 250;
  static constexpr double kShareOfRest = 0.25;
  static constexpr double kLongestRead = 10;
  static constexpr double kNoHarm = 20e-6;  // seconds that nobody feels
  // Of what was before, at each report: four seconds on the average.
  static constexpr double kKept = 0.78;
  static constexpr int kReportsOfRest = 20;
  struct Reads {
    double seconds = 0, reads = 0;  // what is older counts for less than a read
    double Mean() const { return seconds / reads; }
  };
  Reads all_, latest_, before_, rest_, latest_rest_;
  int reports_without_rest_ = 0;
};

}  // namespace dunlin::agent
