#pragma once

#include <vector>

#include "agent/signals/recent_mean.h"
#include "agent/signals/signal.h"

namespace dunlin::agent {

// How many transactions others have open at once, on the average, against what it is while Dunlin
// does little. By Little's law (Operations Research 9/3, 1961) it is their rate times what each
// takes: at the same rate it grows as they get slower, whatever makes them slow, a busy core, a
// lock, or the disk under their commits. Pure. One thread.
class CrowdingWatch {
 public:
  // A look: others' open transactions; whether a session of Dunlin's was in one.
  void Note(int64_t open, bool works) {
    open_.Add(static_cast<double>(open));
    beside_.Add(works ? 1 : 0);
    if (works || normal_looks_ >= kLooksToKnow) return;
    rest_.of += static_cast<double>(open);
    ++rest_.count;
  }
  // Once a second. Nothing before Dunlin has done little for a while; where several runs never do,
  // moments of rest between their batches must serve.
  void Report(std::vector<SignalSample>& samples) {
    const RecentMean::Sum latest = open_.latest();
    if (latest.count == 0) return;
    // What was normal while nobody was there is not what is normal for whoever comes.
    seconds_without_others_ = latest.of == 0 ? seconds_without_others_ + 1 : 0;
    if (seconds_without_others_ >= kAloneSeconds) {
      const int seconds = seconds_without_others_;
      *this = CrowdingWatch();
      seconds_without_others_ = seconds;
      return;
    }
    open_.EndSecond();
    beside_.EndSecond();
    const bool little = beside_.steady() <= kLittle;
    if (normal_looks_ < kLooksToKnow) {
      if (little) {
        normal_ = (normal_ * normal_looks_ + latest.of) / (normal_looks_ + latest.count);
        normal_looks_ += latest.count;
      } else if (++reports_unknown_ >= kReportsToWait && rest_.count >= kLooksToKnow) {
        normal_ = rest_.Mean();
        normal_looks_ = kLooksToKnow;
      }
    } else if (little || open_.steady() < normal_) {
      // Dunlin only adds to it: less is news at any time.
      normal_ += kNormalWeight * (open_.steady() - normal_);
    }
    if (normal_looks_ >= kLooksToKnow) {
      samples.push_back(
          {.kind = SignalKind::kOpenTransactions, .value = open_.value(), .baseline = normal_});
    }
  }

 private:
  static constexpr double kLittle = 0.33;
  static constexpr double kLooksToKnow = 60;
  static constexpr double kNormalWeight = 0.1;
  static constexpr int kReportsToWait = 20;
  static constexpr int kAloneSeconds = 3;  // as long as the coordinator waits before it says so
  RecentMean open_, beside_;
  RecentMean::Sum rest_;  // looks while none of Dunlin's sessions worked, before normal is known
  int reports_unknown_ = 0;
  int seconds_without_others_ = 0;
  double normal_ = 0, normal_looks_ = 0;
};

}  // namespace dunlin::agent
