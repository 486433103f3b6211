#pragma once

#include <algorithm>
#include <vector>

#include "absl/time/time.h"

#include "agent/signals/signal.h"

namespace dunlin::agent {

// What a one-row read takes, against what it takes while Dunlin does not work. Single reads vary;
// the median of a second does not. Pure: the caller brings the times. One thread.
class ProbeWatch {
 public:
  // A read took `took`; `calm`: no session of Dunlin's worked.
  void Note(absl::Duration took, bool calm) {
    reads_.push_back(absl::ToDoubleSeconds(took));
    calm_ = calm_ && calm;
  }
  // Of the reads since the last call; nothing without any.
  void Report(std::vector<SignalSample>& samples) {
    if (reads_.empty()) return;
    const auto middle = reads_.begin() + static_cast<std::ptrdiff_t>(reads_.size() / 2);
    std::nth_element(reads_.begin(), middle, reads_.end());
    const double median = *middle;
    if (baseline_ == 0) {
      baseline_ = typical_ = median;
    } else {
      // While Dunlin works only less is news.
      if (calm_ || median < baseline_) baseline_ += kBaselineWeight * (median - baseline_);
      typical_ += kTypicalWeight * (median - typical_);
    }
    samples.push_back({.kind = SignalKind::kProbeLatency,
                       .value = median,
                       .baseline = baseline_,
                       .typical = typical_});
    reads_.clear();
    calm_ = true;
  }

 private:
  static constexpr double kBaselineWeight = 0.1;
  static constexpr double kTypicalWeight = 0.1;
  std::vector<double> reads_;
  bool calm_ = true;
  double baseline_ = 0, typical_ = 0;  // seconds; 0 = nothing yet
};

}  // namespace dunlin::agent
