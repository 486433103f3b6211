// What a batch that was tried and rolled back says about a migration. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/check/check.h"
#include "agent/check/probe.h"

namespace dunlin::agent {

// How two looks at the same range differ, row by row. `key_columns`: for "id=17".
std::vector<RowChange> CompareImages(const std::vector<std::string>& key_columns,
                                     const std::vector<RowImage>& before,
                                     const std::vector<RowImage>& after);

// Columns that differ in any of the changes.
std::set<std::string> ChangedColumns(const std::vector<RowChange>& changes);

// Whether a second run of a batch did anything that the first had not done. `own`: the OIDs of the
// step's table and what is below it, whose rows were looked at; `whole`: all of the range was.
StepTrial::Again JudgeAgain(const Probe& probe, const std::set<pg::Oid>& own, bool whole);

// Whether the statements move rows to other keys, which breaks ranges (trap 10): rows of the range
// are gone, and nothing was deleted.
bool MovesKeys(const Probe& probe);

// "public.orders: 100 updated (40 HOT), 3 inserted", a line each.
std::vector<std::string> DescribeEffects(const std::vector<TableEffect>& effects);

// The cost of all `rows`, from a batch of `batch_rows` that was timed; `changes` of a batch of
// `images` rows.
struct Measured {
  int64_t rows = 0;
  int64_t batch_rows = 0;
  int concurrency = 1;
};
Estimate MakeEstimate(const Measured& measured, const Probe& timed, const Probe& looked,
                      const std::vector<RowChange>& changes);

// How many rows a batch may have that is to take `want`, after `rows` took `took`; at most twenty
// times as many.
int64_t RowsFor(absl::Duration want, int64_t rows, absl::Duration took);

}  // namespace dunlin::agent
