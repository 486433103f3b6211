#pragma once

#include <cstdint>
#include <string>

namespace dunlin::coordinator {

// A PostgreSQL server as sessions tell of it: pg_control_system()'s identifier, which a replica
// shares with its primary, and the timeline, which rises with each promotion.
struct ServerIdentity {
  std::string system_identifier;  // empty = not known, or cannot be reached
  int64_t timeline = 0;
};

// What a report about a target says, against the latest that the store knows.
enum class IdentityVerdict {
  kUnreachable,  // it names no server
  kKnown,
  kFirst,        // the first that is heard of the target
  kFailover,     // a later timeline: its last commits may be lost
  kLeftBehind,   // an earlier timeline: a former primary; what comes from there does not count
  kOtherServer,  // another system identifier: restored, upgraded, or the wrong database
};
// Pure.
IdentityVerdict CompareIdentity(const ServerIdentity& known, const ServerIdentity& seen);

// What the ledger said, against what the store believed, after a reconcile task has read it.
struct ReconcileFacts {
  bool run_known = false;  // the ledger has the run's own row
  bool finished = false;   // and it is a finish row
  bool planned = false;    // the store has taken over a plan of the run
  bool step_lost = false;  // of some step the store has shards, the ledger none
  ServerIdentity planned_on;
  ServerIdentity now;
};
enum class ReconcileVerdict {
  kFinished,     // the finish row is there
  kTakeOver,     // the ledger's partition counts; a step that it does not have is planned again
  kPlanAgain,    // nothing of the run is there, and nothing that it did: from the beginning
  kRecordLost,   // missing where it was planned: rows may have been changed
  kWrongServer,  // missing on another server than the one where it was planned: the same
};
// Pure. What is missing may be done again only where a failover explains it, since only then what
// the run did went with its record.
ReconcileVerdict DecideReconcile(const ReconcileFacts& facts);

}  // namespace dunlin::coordinator
