#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/work/step_sql.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// A row at one moment.
struct RowImage {
  std::string key;  // as an array's text
  std::string json;
  int64_t bytes = 0;
};

// What statements did to one table.
struct TableEffect {
  std::string table;  // quoted, qualified
  pg::Oid oid = 0;
  int64_t inserted = 0, updated = 0, hot = 0, deleted = 0;
};

struct ProbeOptions {
  // Looks at so many rows of the range before and after; 0 = none.
  int64_t images = 0;
  // Runs the statements a second time, behind the first.
  bool twice = false;
};

// A batch that was run and rolled back.
struct Probe {
  // Why a statement failed, if one did, and its name; the rest is then empty.
  absl::Status status;
  std::string failed;
  bool twice = false;        // the statements ran a second time
  int64_t rows_changed = 0;  // by the statements' own counts
  int64_t rows_changed_again = 0;
  absl::Duration took;
  int64_t wal_bytes = 0;  // of the whole server, so at most
  std::vector<RowImage> before, after, again;
  std::vector<TableEffect> effects, effects_again;
};

// Runs the statements of a batch in a transaction that is always rolled back, in one round trip, so
// that its row locks are held no longer than a real batch's: `budget` bounds all of it (I12).
// Error statuses: only of the connection; a statement that fails is a Probe's status.
// Without `upper` the statements of a `once` step are run.
absl::StatusOr<Probe> RunProbe(pg::Connection& connection, const StepSql& sql,
                               const OptionalKey& lower, const OptionalKey& upper,
                               absl::Duration budget, const ProbeOptions& options);

}  // namespace dunlin::agent
