#pragma once

#include <algorithm>
#include <utility>

namespace dunlin::agent {

// The mean of what was seen of late, for signals that are means: what is over is soon forgotten, so
// of the latest four seconds (weights that fall off) and the latest two, the smaller mean counts;
// how much stands behind it is told, too. Pure: the caller says when a second ends. One thread.
class RecentMean {
 public:
  struct Sum {
    double of = 0, count = 0;  // what is older counts for less than one
    double Mean() const { return of / count; }
  };

  void Add(double value) {
    latest_.of += value;
    ++latest_.count;
  }
  // Of the second that has not ended yet.
  const Sum& latest() const { return latest_; }
  void EndSecond() {
    all_ = {all_.of * kKept + latest_.of, all_.count * kKept + latest_.count};
    two_ = {before_.of + latest_.of, before_.count + latest_.count};
    before_ = std::exchange(latest_, {});
  }
  double steady() const { return all_.Mean(); }  // of four seconds
  double value() const { return std::min(all_.Mean(), two_.Mean()); }
  double recent() const { return two_.Mean(); }
  double count() const { return two_.count; }  // in the latest two seconds

 private:
  static constexpr double kKept = 0.78;
  Sum all_, two_, before_, latest_;
};

}  // namespace dunlin::agent
