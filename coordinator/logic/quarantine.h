#pragma once

#include <cstdint>

namespace dunlin::coordinator {

// What decides whether a run goes on although rows of it fail. Counts are of rows, also where they
// failed as a group of equal keys.
struct QuarantineFacts {
  int64_t set_aside = 0;       // neither done nor accepted, of the whole run
  int64_t set_aside_max = 0;   // limits.max_quarantined
  int64_t session_passed = 0;  // since the run began to work (again), failed ones included
  int64_t session_failed = 0;
};

enum class QuarantineVerdict {
  kGoOn,
  kTooMany,  // more than limits.max_quarantined
  kBreaker,  // more than a quarter of at least 50 rows of this session
};

// Pure. By session and not by history, so that a run that was resumed after its cause was mended is
// not stopped for what came before (trap 7).
QuarantineVerdict DecideQuarantine(const QuarantineFacts& facts);

}  // namespace dunlin::coordinator
