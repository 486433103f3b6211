#include "coordinator/logic/quarantine.h"

namespace dunlin::coordinator {
namespace {
// Fewer rows say nothing: the first three of a table may well be odd ones.
constexpr int64_t kBreakerMinRows = 50;
constexpr int64_t kBreakerOneOf = 4;
}  // namespace

QuarantineVerdict DecideQuarantine(const QuarantineFacts& facts) {
  if (facts.set_aside > facts.set_aside_max) return QuarantineVerdict::kTooMany;
  if (facts.session_passed >= kBreakerMinRows &&
      facts.session_failed * kBreakerOneOf > facts.session_passed) {
    return QuarantineVerdict::kBreaker;
  }
  return QuarantineVerdict::kGoOn;
}

}  // namespace dunlin::coordinator
