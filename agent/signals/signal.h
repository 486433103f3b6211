// What is measured on a target. Each signal is a class in a file of its own; sampler.cc has the
// list.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/ids.h"
#include "common/migration/definition.h"
#include "common/pg/connection.h"
#include "common/signal_kind.h"

namespace dunlin::agent {

struct SignalSample {
  SignalKind kind = SignalKind::kProbeLatency;
  std::string subject;
  double value = 0;
  double baseline = 0;
  double typical = 0;
  std::string not_measured;  // why, and what would help; empty = it is measured
};

// A run in work, as far as measuring is concerned.
struct MeasuredRun {
  RunId id;
  std::vector<std::string> tables;  // as in the file
  // Only when the file has a check of its own; with a reason why it may not run here instead.
  std::shared_ptr<const Definition> definition;
  std::string refused;
  // What dunlin.progress shows.
  std::string throttled_reason;
};

// One or a few signals that are read together. Keeps what it must remember from second to second,
// so that a plain role can see how long something lasts. Thread safety: one thread.
class Signal {
 public:
  virtual ~Signal() = default;
  // The kinds of which it gives at least one sample each time.
  virtual std::vector<SignalKind> kinds() const = 0;
  // Once a second. `now`: monotonic. An error stands for all of its kinds: they are not measured.
  virtual absl::Status Measure(pg::Connection& connection, absl::Duration now,
                               const std::vector<MeasuredRun>& runs,
                               std::vector<SignalSample>& samples) = 0;
};

// For a role that may not see enough: "role app may not …; GRANT pg_monitor TO app".
absl::StatusOr<std::string> GrantThatHelps(pg::Connection& connection, const std::string& what);

std::unique_ptr<Signal> MakeReplicaSignal();
std::unique_ptr<Signal> MakeSlotSignal();
std::unique_ptr<Signal> MakeWalSignal();
std::unique_ptr<Signal> MakeTransactionSignal();
std::unique_ptr<Signal> MakeDeadRowsSignal();
std::unique_ptr<Signal> MakeCheckSignal();

}  // namespace dunlin::agent
