// How one call to a server (libpq, gRPC) fails in a test. Each place that calls asks
//   const CallFault fault = DUNLIN_CALL("libpq.pipeline", label);
// and does what it answers; `label` tells calls of one point apart (statements, a method) and is
// not even evaluated in a release build, where nothing of this exists and every answer is `false`.
#pragma once

#include "absl/time/time.h"

#ifdef DUNLIN_FAULTS
#include <map>
#include <string>

#include "absl/status/status.h"

#include "common/fault.h"
#define DUNLIN_CALL(point, label)                                                      \
  ([&] {                                                                               \
    static_assert(::dunlin::IndexOf(::dunlin::kCallPoints, point) < 1'000, "unknown"); \
    return ::dunlin::NextCall(point, label);                                           \
  }())
// Calls of this thread, until the end of the block, are told apart by what they are made for.
#define DUNLIN_CALLS_FOR(purpose) const ::dunlin::CallPurpose call_purpose(purpose)
#else
#define DUNLIN_CALL(point, label) ::dunlin::CallFault()
#define DUNLIN_CALLS_FOR(purpose) static_cast<void>(0)
#endif

namespace dunlin {

#ifdef DUNLIN_FAULTS
class CallFault {
 public:
  enum class Way { kNone, kBefore, kAfter, kHang };
  CallFault() = default;
  CallFault(Way way, absl::Duration hang) : way_(way), hang_(hang) {}

  // The call must fail as if the server could not be reached, and reach it indeed not.
  bool Before() const { return way_ == Way::kBefore; }
  // The server has answered: the call must fail as if the connection broke before the answer came.
  bool After() const { return way_ == Way::kAfter; }
  // The call must reach the server, and its answer must not be seen until the deadline.
  bool Hangs() const { return way_ == Way::kHang; }
  // The time that such a call takes: short, where the real deadline is ten seconds.
  absl::Duration Bound(absl::Duration timeout) const {
    return Hangs() && hang_ < timeout ? hang_ : timeout;
  }

 private:
  Way way_ = Way::kNone;
  absl::Duration hang_;
};

// See DUNLIN_CALLS_FOR. Thread safety: on one thread, the latest one counts.
class CallPurpose {
 public:
  explicit CallPurpose(const char* purpose);
  ~CallPurpose();
  CallPurpose(const CallPurpose&) = delete;
  CallPurpose& operator=(const CallPurpose&) = delete;
};

// Counts the call "<point> <label>[ for <purpose>]" and answers how it fails. Thread safety: any
// thread.
CallFault NextCall(absl::string_view point, const std::string& label);
// The one fault to come, until it is set again: "<call>=<way>@<n>", the n-th such call
// from now on (1 = the next), ways `before`, `after` and `hang:<ms>`; empty = none. Forgets what
// was counted. INVALID_ARGUMENT for anything else.
absl::Status SetCallFault(absl::string_view spec);
// Whether it has come.
bool CallFaultHit();
// What was called since SetCallFault, and how often.
std::map<std::string, int> CallsCounted();
#else
class CallFault {
 public:
  static constexpr bool Before() { return false; }
  static constexpr bool After() { return false; }
  static constexpr bool Hangs() { return false; }
  static absl::Duration Bound(absl::Duration timeout) { return timeout; }
};
#endif

}  // namespace dunlin
