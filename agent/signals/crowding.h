#pragma once

#include <algorithm>
#include <utility>
#include <vector>

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
    latest_.open += static_cast<double>(open);
    latest_.looks += 1;
    if (works) latest_.beside += 1;
  }
  // Once a second. Nothing before Dunlin has done little for a while.
  void Report(std::vector<SignalSample>& samples) {
    if (latest_.looks == 0) return;
    all_ = {all_.open * kKept + latest_.open, all_.looks * kKept + latest_.looks,
            all_.beside * kKept + latest_.beside};
    const Looks two = {before_.open + latest_.open, before_.looks + latest_.looks};
    // What is over is soon forgotten.
    const double open = std::min(all_.Mean(), two.Mean());
    const bool little = all_.beside <= kLittle * all_.looks;
    if (normal_looks_ < kLooksToKnow) {
      if (little) {
        normal_ = (normal_ * normal_looks_ + latest_.open) / (normal_looks_ + latest_.looks);
        normal_looks_ += latest_.looks;
      }
    } else if (little || all_.Mean() < normal_) {
      // Dunlin only adds to it: less is news at any time.
      normal_ += kNormalWeight * (all_.Mean() - normal_);
    }
    if (normal_looks_ >= kLooksToKnow) {
      samples.push_back(
          {.kind = SignalKind::kOpenTransactions, .value = open, .baseline = normal_});
    }
    before_ = std::exchange(latest_, {});
  }

 private:
  static constexpr double kKept = 0.78;  // four seconds on the average
  static constexpr double kLittle = 0.33;
  static constexpr double kLooksToKnow = 60;
  static constexpr double kNormalWeight = 0.1;
  struct Looks {
    double open = 0, looks = 0, beside = 0;  // what is older counts for less than a look
    double Mean() const { return open / looks; }
  };
  Looks all_, latest_, before_;
  double normal_ = 0, normal_looks_ = 0;
};

}  // namespace dunlin::agent
