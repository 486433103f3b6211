// A migration file, parsed. Plain data; parser.h makes it, and every process reads it from the same
// bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "common/migration/window.h"
#include "common/signal_kind.h"

namespace dunlin {

enum class Durability { kStrict, kRelaxed };

// A statement as it stands in the file, with the place of its first character, for messages. In a
// block scalar (`|`) line n of the SQL is line `line + n - 1` of the file; in the other styles YAML
// has joined the lines.
struct SqlText {
  std::string sql;
  int line = 0;    // 1-based
  int column = 0;  // 1-based
};

// `requires:`: `sql` must answer one true before planning and at resume; `says` is the sentence
// shown until then.
struct Requirement {
  SqlText sql;
  std::string says;
};

// `undo:`: how a step is taken back. Exactly one of them.
struct UndoDefinition {
  std::vector<std::string> keep;  // columns whose before-images are kept; SQL identifiers
  std::vector<SqlText> batch;     // written by hand, each has :batch
  std::vector<SqlText> once;      // the same of a `once` step
};

// One part of a migration: either table + batch, or once.
struct StepDefinition {
  // Table and batch ---------------------------------------------------------------
  std::string table;             // as in the file: an SQL identifier, perhaps qualified and quoted
  std::vector<std::string> key;  // empty = the primary key; SQL identifiers as in the file
  std::vector<SqlText> batch;    // each has :batch
  std::optional<SqlText> where;  // a boolean expression over the table's columns
  bool lock = false;  // `lock: true`: FOR NO KEY UPDATE in key order before the statements
  std::vector<SqlText> lock_statements;  // `lock: [SELECT …]`
  std::optional<SqlText> verify;
  // Once --------------------------------------------------------------------------
  std::vector<SqlText> once;

  // Both ------------------------------------------------------------------------
  std::optional<UndoDefinition> undo;

  // Set by MakeUndo() alone: the columns that this step puts back to their before-images, which
  // step `undoes_step` of the migration has kept.
  std::vector<std::string> restore;
  int undoes_step = 0;

  bool is_once() const { return !once.empty(); }
  // Whether any statement names `:table`: then shards are per leaf partition (trap 3).
  bool uses_table_placeholder = false;
};

struct Limits {
  absl::Duration batch_time = absl::Milliseconds(100);  // 5 ms … 10 s
  int concurrency = 4;                                  // 1 … 256
  int64_t rows_per_second = 0;                          // 0 = no limit
  int64_t wal_bytes_per_second = 0;                     // of the server; 0 = no limit
  absl::Duration pause = absl::ZeroDuration();          // between batches of a shard
  absl::Duration barrier_timeout = absl::Minutes(10);
  absl::Duration verify_timeout = absl::Minutes(30);
  int64_t max_quarantined = 100;  // rows set aside, more stop the run; 0 = the first one does
};

// `on_pressure:`: where signals of the target's health become pressure, where the defaults do not
// fit. A signal that is named must be measured: while it is not, the run is held back.
struct OnPressure {
  std::map<SignalKind, double> limits;  // in the signal's unit; infinity = switched off
  std::optional<SqlText> check;         // answers one true while the run may go on
};

struct ParameterDefinition {
  std::string name;
  std::string type;  // an SQL type's name, resolved by the target: never spliced into SQL
};

struct Definition {
  std::string description;
  std::string owner;
  // Names of targets, or patterns of them (target_pattern.h): one run for each. Empty = the only
  // target there is.
  std::vector<std::string> targets;
  std::vector<std::string> depends_on;
  // Whether the file has `depends_on:`. Without it runs begin in version order; with an empty list
  // at once.
  bool has_depends_on = false;
  std::string supersedes;  // the migration that this one stands in for; empty = none
  std::vector<Requirement> requirements;
  std::vector<ParameterDefinition> parameters;  // in the file's order
  bool idempotent = false;
  // No start without a test beside the file, a reason, and the approval of another operator.
  bool critical = false;
  Limits limits;
  OnPressure on_pressure;
  std::vector<Window> windows;  // empty = always
  Durability durability = Durability::kStrict;
  absl::Duration soak = absl::Hours(24 * 7);
  std::map<std::string, std::string> labels;
  std::vector<StepDefinition> steps;  // at least one; a file without `steps:` has exactly one
};

}  // namespace dunlin
