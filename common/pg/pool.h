#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/mutex.h"
#include "common/pg/connection.h"

namespace dunlin::pg {

// A bounded pool of connections with the same options; connections are made when needed, and broken
// ones dropped. Thread safety: any thread. Blocking: Acquire() until a connection is free, at most
// `timeout`.
class Pool {
 public:
  // A connection on loan; goes back when destroyed, unless broken or inside a transaction (then it
  // is closed).
  class Loan {
   public:
    Loan(Pool& pool, std::unique_ptr<Connection> connection);
    ~Loan();
    Loan(Loan&& other) noexcept;
    Loan& operator=(Loan&&) = delete;
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }

   private:
    Pool* pool_;  // outlives every loan
    std::unique_ptr<Connection> connection_;
  };

  Pool(Secret dsn, ConnectOptions options, int connections_max);

  // Errors: RESOURCE_EXHAUSTED none was free in time; UNAVAILABLE the server cannot be reached.
  absl::StatusOr<Loan> Acquire(absl::Duration timeout);

 private:
  void GiveBack(std::unique_ptr<Connection> connection);

  const Secret dsn_;
  const ConnectOptions options_;
  const int connections_max_;
  Mutex mutex_;
  CondVar freed_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::pg
