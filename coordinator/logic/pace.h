// How many shards of a run are in work, and what each may do: pure functions of observed numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace dunlin::coordinator {

struct ConcurrencyFacts {
  int limit = 4;
  int allowed = 1;
  absl::Duration since_change;  // by the store's clock
  // Transactions of others in the target's database; -1 = not measured.
  int foreign_transactions = -1;
  // Workers that back off from a lock or a timeout at present.
  int workers_backing_off = 0;
  // Whether pressure was ever seen in this run: ends the doubling.
  bool pressure_seen = false;
};
struct ConcurrencyDecision {
  int allowed = 1;
  bool pressure_seen = false;
  std::string reason;  // why it is below the limit; empty = it is not
};

// The slow start: begins at 1 and doubles each second of calm until the first pressure; at its
// limit at once while nobody but Dunlin is active on the target. After the first pressure: halves
// at once and holds for 10 s, then +1 per 10 s of calm.
ConcurrencyDecision DecideConcurrency(const ConcurrencyFacts& facts);

// A lease's share of a limit over all agents. Divided by what may be in work, not by what is, so
// that the sum never passes it.
inline double ShareOfRate(int64_t rows_per_second, int allowed, int64_t shards_open) {
  if (rows_per_second <= 0) return 0;
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(allowed, shards_open));
  return static_cast<double>(rows_per_second) / static_cast<double>(parts);
}

struct RateEstimate {
  double rows_per_second = 0;
  int64_t rows = 0;  // when it was measured
};
// EWMA over samples of at least a second; `elapsed` since the former sample.
RateEstimate UpdateRate(const RateEstimate& before, int64_t rows_now, absl::Duration elapsed);

// Seconds to go; -1 before it means something: less than 1 % done or 3 s run, nothing moving, or no
// estimate of the whole.
int64_t EstimateEta(int64_t rows_done, int64_t rows_total, double rows_per_second,
                    absl::Duration running);

// What one run could get of the leases that an agent asks for.
struct LeaseDemand {
  int64_t leased = 0;     // in work already
  int64_t grantable = 0;  // more at most: shards that wait, and room under its concurrency
};
// Fair over runs: each lease goes to the run with the fewest in work. As many numbers as demands,
// none over `grantable`, their sum at most `leases_max`.
std::vector<int> ShareLeases(const std::vector<LeaseDemand>& demands, int leases_max);

// Whether a shard with so many rows left is worth splitting: at least two seconds of work.
bool WorthSplitting(int64_t rows_left, double rows_per_second_of_one_shard);

}  // namespace dunlin::coordinator
