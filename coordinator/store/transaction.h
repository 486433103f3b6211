#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/pg/connection.h"

namespace dunlin::coordinator {

// One open transaction on the store. Statements are unnamed: the store's own are short, and the
// plan is not what costs. Thread safety: one thread.
class Transaction {
 public:
  explicit Transaction(pg::Connection& connection) : connection_(connection) {}
  absl::StatusOr<pg::Result> Query(const pg::Statement& statement,
                                   const std::vector<pg::Value>& parameters = {}) {
    return connection_.Execute(statement, parameters, {.timeout = absl::Seconds(10)});
  }
  absl::Status Run(const pg::Statement& statement, const std::vector<pg::Value>& parameters = {}) {
    return Query(statement, parameters).status();
  }

 private:
  pg::Connection& connection_;
};

}  // namespace dunlin::coordinator
