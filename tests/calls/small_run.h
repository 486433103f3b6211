#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"

#include "tests/testlib/pg_server.h"

namespace dunlin::testing {

// What became of one run.
struct SmallRunResult {
  std::string problem;  // empty: it finished, and every row is right
  bool hit = false;     // whether the fault came
  std::map<std::string, int> calls;
  int64_t splits = 0;
  absl::Duration took;
};

// A small but complete run, coordinator, agent and client in this process with a real server
// between them: preflight, barrier behind a foreign transaction, plan, claims, batches, a split, a
// pause in the middle, resume, finalize, verify; two steps, one of them `once`. Store and target
// are fresh. `call_fault`: as SetCallFault takes it. An audit trigger is the oracle.
// Thread safety: one at a time in a process. Blocking: half a minute when the run does not end.
SmallRunResult RunSmallMigration(PgServer& server, const std::string& call_fault);

}  // namespace dunlin::testing
