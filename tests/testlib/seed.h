#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/numbers.h"

namespace dunlin::testing {

// The seed of a randomized test: DUNLIN_SEED, or a fresh one. Printed, so that a failure can be
// replayed.
inline uint64_t Seed() {
  uint64_t seed = std::random_device()();
  if (const char* given = std::getenv("DUNLIN_SEED"); given != nullptr)
    if (!absl::SimpleAtoi(given, &seed)) std::abort();
  std::cout << "DUNLIN_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace dunlin::testing
