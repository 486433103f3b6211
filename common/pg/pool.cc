#include "common/pg/pool.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "common/clock.h"
#include "common/status_macros.h"

namespace dunlin::pg {

Pool::Loan::Loan(Pool& pool, std::unique_ptr<Connection> connection)
    : pool_(&pool), connection_(std::move(connection)) {}
Pool::Loan::Loan(Loan&& other) noexcept = default;
Pool::Loan::~Loan() {
  if (connection_ != nullptr) pool_->GiveBack(std::move(connection_));
}

Pool::Pool(Secret dsn, ConnectOptions options, int connections_max)
    : dsn_(std::move(dsn)), options_(std::move(options)), connections_max_(connections_max) {}

absl::StatusOr<Pool::Loan> Pool::Acquire(absl::Duration timeout) {
  // Not by the wall clock, which may be set meanwhile.
  const absl::Duration deadline = SystemClock().Monotonic() + timeout;
  {
    MutexLock lock(mutex_);
    while (idle_.empty() && open_ >= connections_max_) {
      const absl::Duration left = deadline - SystemClock().Monotonic();
      if (left <= absl::ZeroDuration()) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "all ", connections_max_, " connections to the store are in use; try again"));
      }
      freed_.WaitFor(mutex_, left);
    }
    while (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      // A restarted server closed it; all that were idle then are found the same way.
      if (!connection->broken()) return Loan(*this, std::move(connection));
      --open_;
    }
    ++open_;
  }
  absl::StatusOr<std::unique_ptr<Connection>> made = Connection::Connect(dsn_, options_);
  if (!made.ok()) {
    MutexLock lock(mutex_);
    --open_;
    freed_.NotifyOne();
    return made.status();
  }
  return Loan(*this, *std::move(made));
}

void Pool::GiveBack(std::unique_ptr<Connection> connection) {
  const bool usable = !connection->broken() && !connection->in_transaction();
  MutexLock lock(mutex_);
  if (usable) {
    idle_.push_back(std::move(connection));
  } else {
    --open_;
  }
  freed_.NotifyOne();
}

}  // namespace dunlin::pg
