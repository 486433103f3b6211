#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

#include "common/secret.h"

namespace dunlin::cli {

// How a migration is run on a scratch database.
struct RehearsalOptions {
  int64_t batch_rows = 50'000;  // of every batch
  int shards = 1;               // of every step, if it has so many keys
  bool interrupted = false;     // killed at every step, and started again
  std::map<std::string, std::string> parameters;
};

struct Rehearsed {
  int64_t rows_done = 0;
  int kills = 0;
};

// Runs the migration to its end by the coordinator and the agent of `dunlin local`, in this
// process, on `database`, where its store is too. `definition`: see RehearsedDefinition(). Errors:
// ABORTED = the run needs a person, does not begin or stands still: says why. CANCELLED = Ctrl-C.
// Blocking: until then; a run that does not move for 30 s has failed.
absl::StatusOr<Rehearsed> Rehearse(const Secret& dsn, const std::string& database,
                                   const std::string& name, const std::string& definition,
                                   const RehearsalOptions& options);

// The file without what belongs to a deploy (targets, order, approval, pace), so that it runs at
// once and alone; its lines stay where they are.
std::string RehearsedDefinition(const std::string& file);

}  // namespace dunlin::cli
