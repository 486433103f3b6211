#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "agent/lease.h"
#include "agent/ledger/relation.h"
#include "common/migration/definition.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// What a step needs to keep before-images of columns, or to put them back.
struct BeforeImages {
  struct Column {
    std::string name_sql;  // quoted
    std::string type_sql;  // with its modifier: what a text is cast to
  };
  std::vector<Column> columns;  // none: the step neither keeps nor restores
  bool restore = false;
  // The batch may insert rows: those that it did not see when it locked may be its own.
  bool may_insert = false;
  std::string run;  // whose images they are
  int step = 0;     // of the migration, also when it is undone
};

// Errors: FAILED_PRECONDITION with a sentence: no such column, a generated one, a key that is not
// unique.
absl::StatusOr<BeforeImages> DescribeImages(pg::Connection& connection, const RunSpec& run,
                                            int step_index, const StepDefinition& step,
                                            const Relation& relation);

// SQL over a range of keys. `range`: the predicate. Parameters behind those of the range, from
// `first` on: run, step, relation.
//
// Locks the rows of the range in key order, so that nobody changes them until COMMIT, and remembers
// their kept columns in the transaction-local setting dunlin.images: nothing is written for rows
// that the batch then leaves as they are, and no privilege is needed, as a temporary table would.
std::string RememberImagesSql(const BeforeImages& images, const Relation& relation,
                              const std::string& range);
// Behind the statements: writes before-images of rows whose kept columns are not what they were.
std::string KeepImagesSql(const BeforeImages& images, const Relation& relation,
                          const std::string& range, int first);
// Puts back what is as the migration left it, and deletes the images of that. Rows must be locked.
std::string RestoreImagesSql(const BeforeImages& images, const Relation& relation,
                             const std::string& range, int first);

}  // namespace dunlin::agent
