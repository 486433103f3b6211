// What a test puts into a scratch database, and what it finds there afterwards.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/migration/test_file.h"
#include "common/secret.h"

namespace dunlin::cli {

// A row that is there and should not be, or the other way round.
struct Difference {
  std::string table;
  std::string row;  // as an object in JSON
  bool unexpected = false;
};

// Makes the schema and fills in the rows of `one`. INVALID_ARGUMENT says which part failed, with
// the line where there is one.
absl::Status FillDatabase(const Secret& dsn, const TestFile& test, const std::string& schema_file,
                          const TestCase& one);

// How the tables differ from what the case expects; empty = not at all.
absl::StatusOr<std::vector<Difference>> CompareToExpected(const Secret& dsn, const TestCase& one);

// Every row of every table of the application, by table, sorted, without the columns to ignore.
// RESOURCE_EXHAUSTED when there are more than a test should have.
using Snapshot = std::map<std::string, std::vector<std::string>>;
absl::StatusOr<Snapshot> TakeSnapshot(const Secret& dsn, const TestFile& test);

// `unexpected`: only in `found`. Pure.
std::vector<Difference> CompareSnapshots(const Snapshot& wanted, const Snapshot& found);

}  // namespace dunlin::cli
