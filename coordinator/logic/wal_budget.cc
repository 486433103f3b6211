#include "coordinator/logic/wal_budget.h"

#include <algorithm>

namespace dunlin::coordinator {
namespace {

// Each with a page that is logged whole.
constexpr double kDearRowBytes = 8'000;
constexpr double kFewestRows = 10;
constexpr double kTarget = 0.9;  // of the limit: what is measured is seconds old
constexpr double kMostUp = 2, kMostDown = 0.3;
// Of what a second's measurement says; the rest is the former second's.
constexpr double kWeight = 0.5;

}  // namespace

double WalRowsPerSecond(double before, const WalFacts& facts) {
  const auto limit = static_cast<double>(facts.limit);
  if (before <= 0) return std::max(kFewestRows, limit / kDearRowBytes);
  if (!facts.measured || *facts.measured <= 0) return before;
  const double change = std::clamp(limit * kTarget / *facts.measured, kMostDown, kMostUp);
  // Unless the rows are what holds it back, more of them would change nothing yet.
  if (change > 1 && facts.rows_per_second < before / 2) return before;
  const double base =
      change < 1 ? std::min(before, std::max(facts.rows_per_second, kFewestRows)) : before;
  return std::max(kFewestRows, before + kWeight * (base * change - before));
}

}  // namespace dunlin::coordinator
