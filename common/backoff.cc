#include "common/backoff.h"

#include <algorithm>
#include <random>
#include <utility>

namespace dunlin {

Backoff::Backoff(absl::Duration base, absl::Duration cap, std::function<double()> random01)
    : base_(base), cap_(cap), random01_(std::move(random01)) {}

absl::Duration Backoff::Next() {
  // 2^20 times any base is beyond every cap in use, and far from overflow.
  const int exponent = std::min(attempts_, 20);
  ++attempts_;
  const absl::Duration ceiling = std::min(cap_, base_ * (int64_t{1} << exponent));
  return std::max(base_ / 2, ceiling * random01_());
}

double Random01() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

}  // namespace dunlin
