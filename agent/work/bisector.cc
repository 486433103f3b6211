#include "agent/work/bisector.h"

#include <algorithm>

namespace dunlin::agent {

int64_t Bisector::FindRows() const {
  return failing_ > 0 ? std::max<int64_t>(1, failing_ / 2) : growing_;
}

bool Bisector::Failed(int64_t asked, int64_t rows) {
  growing_ = 0;
  // A group of equal keys has more rows than were asked for: it is halved until one is asked for.
  failing_ = std::max<int64_t>(1, std::min(asked, rows));
  return asked <= 1;
}

void Bisector::Passed(int64_t asked, int64_t normal) {
  in_a_row_ = 0;
  if (failing_ > 0) {
    // Used up without a failure: the row was mended, or deleted, meanwhile.
    failing_ = std::max<int64_t>(0, failing_ - asked);
    return;
  }
  growing_ = growing_ * 2 < normal ? growing_ * 2 : 0;
}

void Bisector::SetAside(const std::string& reason) {
  in_a_row_ = reason == reason_ ? in_a_row_ + 1 : 1;
  reason_ = reason;
  failing_ = 0;
  growing_ = 1;
}

bool Bisector::IsWholeBatch(const std::string& reason) const {
  return in_a_row_ + 1 >= kWholeBatch && reason == reason_;
}

}  // namespace dunlin::agent
