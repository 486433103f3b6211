#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dunlin::agent {

// What a statement's plan, made with a batch's bound and `enable_seqscan = off`, says about it.
struct PlanFacts {
  // Relations ("schema.name") that are read whole for every batch: no index condition bounds the
  // scan.
  std::vector<std::string> read_whole;
  // Relations that are read to compute what is written elsewhere (trap 11): every relation scanned
  // by an INSERT; by an UPDATE or MERGE those other than the changed one, and the changed one when
  // it is scanned a second time.
  // What a CTE deletes or updates and returns is locked, so as it is now: not counted.
  std::vector<std::string> copied_from;
  // What an INSERT computes from the rows it reads, as EXPLAIN prints it; empty for other
  // statements.
  std::vector<std::string> inserted;
  // "UPDATE", "DELETE", "MERGE", "INSERT" of every table that is written, CTEs included.
  std::vector<std::string> operations;
};

// `json`: the answer of EXPLAIN (FORMAT JSON, VERBOSE, COSTS off). Pure. Error: INVALID_ARGUMENT
// when it is no such answer.
absl::StatusOr<PlanFacts> ReadPlan(absl::string_view json);

}  // namespace dunlin::agent
