#pragma once

#include <stop_token>

#include "absl/time/time.h"

namespace dunlin {

// The time that leases and waits are counted in. Injected, so that logic is tested without waiting.
// Thread safety: any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic, and it counts suspension of the machine (CLOCK_BOOTTIME); its zero means nothing.
  // Never decides ownership: that is the store's clock alone.
  virtual absl::Duration Monotonic() const = 0;
  // Returns early when `stop` is requested.
  virtual void SleepFor(absl::Duration duration, std::stop_token stop) = 0;
};

// The machine's clock; lives for ever.
Clock& SystemClock();

}  // namespace dunlin
