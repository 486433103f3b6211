#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/ledger/relation.h"
#include "agent/work/step_sql.h"
#include "common/key_text.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// Of each statement of a plan.
inline constexpr absl::Duration kPlanTimeout = absl::Minutes(5);

// `where:` as bound SQL (its parameters are $1 …), for estimates.
struct Filter {
  std::string sql = "true";
  std::vector<pg::Value> parameters;
  std::vector<pg::Oid> types;
};

// That of a step.
absl::StatusOr<Filter> MakeFilter(const StepDefinition& step, const Relation& relation,
                                  const std::vector<std::string>& declared,
                                  const BoundParameters& parameters);

// A partition of a relation's key space into shards of about equal size.
struct KeyPlan {
  std::vector<KeyText> uppers;  // ascending by the key's own order; the last is the largest key
  int64_t rows_total = 0;       // estimate of rows that match the filter
};

// How many shards are worth making of so many rows: enough to keep `slots` busy to the end, and few
// enough that a shard's own cost is small. At most `shards_max` (0 = 64).
int ShardCountFor(int64_t rows, int slots, int shards_max);

// Plans shards from a sample of heap blocks (TABLESAMPLE SYSTEM: J. Vitter-style block sampling in
// the server), a few rows of each, never by reading the table. It needs no statistics, works for
// any orderable key, and a live row has the same chance to be in the sample wherever it lies. With
// b blocks a shard, sizes differ by about 1/sqrt(b) when the heap is in key order (the worst case);
// 128 blocks a shard: 9 %. A table of fewer blocks than are sampled is read whole. `shards_min`: so
// many at least, if there are so many keys.
absl::StatusOr<KeyPlan> PlanKeySpace(pg::Connection& connection, const Relation& relation,
                                     const Filter& filter, int slots, int shards_max,
                                     int shards_min = 1);

// A key near the middle of (from, upper], for a split; nullopt when too little is left.
// `rows_left`: an estimate.
absl::StatusOr<std::optional<OptionalKey>> FindMiddle(pg::Connection& connection,
                                                      const Relation& relation,
                                                      const OptionalKey& from, const KeyText& upper,
                                                      int64_t rows_left);

// Rows in (from, upper], by the index; a count of `most` stands for that many or more.
absl::StatusOr<int64_t> CountAhead(pg::Connection& connection, const Relation& relation,
                                   const OptionalKey& from, const KeyText& upper, int64_t most);

// SQL that counts violations of I2 among the shards of ($1 run, $2 step, $3 relation), by the key's
// own types: ordered by upper, each lower is the upper before it, the first has none, and lower <
// upper.
std::string CoverageSql(const Relation& relation);

}  // namespace dunlin::agent
