// Named fault points: DUNLIN_FAULT("agent.batch.after_fence"). Compiled in only with
// DUNLIN_FAULTS=ON; a release build holds neither the calls nor the names. Set by the environment
// for child processes, or in-process by tests:
//   DUNLIN_FAULT="agent.batch.after_fence=crash@3,agent.claim.after=delay:200"
// Actions: `crash` (SIGKILL to itself), `stop` (SIGSTOP to itself), `error` (the caller gets
// UNAVAILABLE), `delay:<ms>`; `@n` = only the n-th hit (1-based), else every hit.
//
// DUNLIN_MUTANT("claim_inserts") is true when this process runs as that mutant (mutants.h), and the
// constant false in a release build. DUNLIN_TUNABLE("agent.batch.deadline", kClientDeadline) is the
// constant, unless a test has set another with Tune(), or DUNLIN_TUNE="NAME=NUMBER,…" for child
// processes: deadlines of seconds in milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#ifdef DUNLIN_FAULTS
#include "common/fault_points.h"
#include "common/mutants.h"
#define DUNLIN_FAULT(name) ::dunlin::HitFault(name)
#define DUNLIN_MUTANT(name) ::dunlin::MutantOn(::dunlin::IndexOf(::dunlin::kMutants, name))
#define DUNLIN_TUNABLE(name, value) \
  ::dunlin::Tuned(::dunlin::IndexOf(::dunlin::kTunables, name), value)
#else
#define DUNLIN_FAULT(name) ::absl::OkStatus()
#define DUNLIN_MUTANT(name) false
#define DUNLIN_TUNABLE(name, value) value
#endif

namespace dunlin {

#ifdef DUNLIN_FAULTS
// A name that is not in the list does not compile.
template <size_t kSize>
consteval size_t IndexOf(const char* const (&names)[kSize], absl::string_view name) {
  for (size_t i = 0; i < kSize; ++i) {
    if (name == names[i]) return i;
  }
  throw "not listed in common/mutants.h or common/fault_points.h";
}
bool MutantOn(size_t index);
absl::Duration Tuned(size_t index, absl::Duration otherwise);
int64_t Tuned(size_t index, int64_t otherwise);
// For this process, from now on; an unset one is InfiniteDuration() or INT64_MAX. CHECKs the name.
void Tune(absl::string_view name, absl::Duration value);
void Tune(absl::string_view name, int64_t value);

// Thread safety: any thread.
absl::Status HitFault(absl::string_view name);
// Replaces what is set; empty clears. INVALID_ARGUMENT for an unknown name or action.
absl::Status SetFaults(absl::string_view spec);
#endif

}  // namespace dunlin
