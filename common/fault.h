// Named fault points: DUNLIN_FAULT("agent.batch.after_fence"). Compiled in only with
// DUNLIN_FAULTS=ON; a release build holds neither the calls nor the names. Set by the environment
// for child processes, or in-process by tests:
//   DUNLIN_FAULT="agent.batch.after_fence=crash@3,agent.claim.after=delay:200"
// Actions: `crash` (SIGKILL to itself), `stop` (SIGSTOP to itself), `error` (the caller gets
// UNAVAILABLE), `delay:<ms>`; `@n` = only the n-th hit (1-based), else every hit.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#ifdef DUNLIN_FAULTS
#define DUNLIN_FAULT(name) ::dunlin::HitFault(name)
#else
#define DUNLIN_FAULT(name) ::absl::OkStatus()
#endif

namespace dunlin {

#ifdef DUNLIN_FAULTS
// Thread safety: any thread.
absl::Status HitFault(absl::string_view name);
// Replaces what is set; empty clears. INVALID_ARGUMENT for an unknown name or action.
absl::Status SetFaults(absl::string_view spec);
#endif

}  // namespace dunlin
