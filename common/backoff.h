#pragma once

#include <functional>

#include "absl/time/time.h"

namespace dunlin {

// Exponential back-off with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS
// Architecture Blog, 2015). Pure but for the injected random source. Thread safety: one thread.
class Backoff {
 public:
  // `random01` answers uniformly in [0, 1).
  Backoff(absl::Duration base, absl::Duration cap, std::function<double()> random01);
  // The next wait: uniform in [base/2, min(cap, base · 2^n)]; the floor keeps a lucky draw from
  // spinning.
  absl::Duration Next();
  void Reset() { attempts_ = 0; }
  int attempts() const { return attempts_; }

 private:
  absl::Duration base_;
  absl::Duration cap_;
  std::function<double()> random01_;
  int attempts_ = 0;
};

// A random source for the above. Thread safety: any thread.
double Random01();

}  // namespace dunlin
