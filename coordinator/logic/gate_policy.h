#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

// What is known of one migration on one target, when somebody asks whether to rely on it. Times are
// the store's.
struct GateFacts {
  std::string migration;         // the one whose run counts
  std::string stands_in_for;     // the one that was asked for, when that is another; else empty
  std::string target;            // empty: none is known
  bool several_targets = false;  // so that a command must say which
  bool local = false;            // `dunlin local` runs it
  absl::Time now;

  std::optional<RunState> state;  // of its newest run; absent = never started
  bool undo = false;              // and that one takes it back
  std::string reason;             // what it waits for, or why it ended
  bool needs_person = false;      // what a PENDING run waits for does not come by itself
  bool only_set_aside = false;    // everything is done but rows in quarantine
  int percent_done = 0;
  std::string digest, file_digest;  // empty file_digest: no file at hand

  // What the target's own record said last: "" = nothing yet, "missing", "open" or an outcome.
  std::string confirmed;
  bool reconcile_due = false;  // its target has failed over since; the ledger is being read
  absl::Time confirmed_at;
  absl::Time finished_at;
  bool agent_connected = false;

  absl::Duration soak;
  absl::Duration confirmed_within;
};

struct GateDecision {
  enum class Verdict { kOpen, kWait, kNeedsPerson };
  Verdict verdict = Verdict::kWait;
  std::string message;      // a sentence with the command to run next
  bool ask_target = false;  // its word is too old, or was not good: ask again
  bool confirming = false;  // and an agent is there to answer
  absl::Time soak_end = absl::InfinitePast();
};

// Pure. The target's own record is the authority: what the store believes opens no gate.
GateDecision DecideGate(const GateFacts& facts);

}  // namespace dunlin::coordinator
