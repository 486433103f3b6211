#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/migration/definition.h"
#include "common/secret.h"

namespace dunlin::agent {

// Something that `check` has to say about a migration.
struct Finding {
  // kError: it will fail, or do harm. kWarning: it may; somebody should look. kNote: good to know.
  enum class Severity { kError, kWarning, kNote };
  Severity severity = Severity::kNote;
  std::string where;    // "line 7", "table public.x"
  std::string message;  // what is the matter
  std::string why;      // what comes of it
  std::string advice;   // what to change
};

// What a batch made of one row: only for the terminal of who asked; it goes to no coordinator and
// into no log (I8).
struct RowChange {
  std::string key;                            // "id=17"
  std::map<std::string, std::string> before;  // changed columns, as JSON; all when it is gone
  std::map<std::string, std::string> after;   // empty when it is gone
};

// What all of a step will cost, from one batch that was timed and rolled back.
struct Estimate {
  int64_t rows = 0;  // to do, by a sample
  int64_t batch_rows = 0;
  absl::Duration batch_time;
  double rows_per_second = 0;  // of one shard
  absl::Duration alone;        // all of it, one shard at a time
  absl::Duration at_best;      // as many at once as `limits.concurrency` allows
  int64_t wal_bytes = 0;
  int64_t dead_bytes = 0;          // old versions of rows, until vacuum has been there
  int64_t before_image_bytes = 0;  // of the columns that change
};

// What was found out about one step by running batches of it and rolling them back.
struct StepTrial {
  std::string table;               // empty for `once`
  int64_t rows = 0;                // in the batch that was looked at
  int64_t rows_changed = 0;        // by the statements' own counts
  std::vector<RowChange> changes;  // of a few rows
  // What it did to tables: "public.orders: 100 updated (40 HOT)".
  std::vector<std::string> effects;
  enum class Again { kUnknown, kNothing, kChanges };
  Again again = Again::kUnknown;  // what the same batch did a second time
  std::optional<Estimate> estimate;
};

struct CheckReport {
  std::vector<Finding> findings;
  std::vector<StepTrial> trials;
};

// Looks at a migration on a real database: do its statements prepare, does each one's plan with the
// batch bound use the key, the facts of traps 10 to 14; then runs batches of it in transactions
// that are rolled back, under the limits of a real batch (I12). Nothing of it stays, but what no
// rollback undoes: numbers of sequences, and dead row versions for vacuum.
// Without a value for every parameter nothing is planned or tried.
absl::StatusOr<CheckReport> CheckOnDatabase(const Secret& dsn, const Definition& definition,
                                            const std::map<std::string, std::string>& parameters);

}  // namespace dunlin::agent
