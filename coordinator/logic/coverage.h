#pragma once

#include <string>
#include <vector>

#include "common/key_text.h"

namespace dunlin::coordinator {

struct Range {
  std::string relation;
  OptionalKey lower;
  OptionalKey upper;
};

// I2 as far as it can be told without ordering keys (trap 1): per relation exactly one range begins
// the chain, every other lower is exactly one range's upper, no two share a lower, and the walk
// meets every range. That lower < upper the target itself checks. Empty = covered; else a sentence.
// A step without ranges (an empty table) is covered.
std::string FindCoverageGap(const std::vector<Range>& ranges);

}  // namespace dunlin::coordinator
