#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "common/mutex.h"
#include "common/pg/connection.h"

namespace dunlin::cli {

// Kills the work on a target at every step: once before each call, and once when the server has
// changed something by it and the answer is on its way, so that what is in doubt is met too. From
// then on every call is held until Release(), so that nobody hears of it, and then breaks, as if
// the process were gone, until Revive(). A call of the same text counts as another step when a
// batch was committed in between, so the work always comes to its end.
// Thread safety: any thread.
class Interrupter : public pg::CallWatch {
 public:
  // `hold`: how long a call is held at most. `checkpoint`: the statement, by its name, whose commit
  // is that of a batch.
  Interrupter(absl::Duration hold, std::string checkpoint)
      : hold_(hold), checkpoint_(std::move(checkpoint)) {}
  bool MayCall(const std::vector<pg::Command>& commands) override;
  bool MayAnswer(const std::vector<pg::Command>& commands,
                 const std::vector<pg::Outcome>& outcomes) override;

  bool killed() const;
  // False when it was not killed within `timeout`.
  bool WaitUntilKilled(absl::Duration timeout) const;
  void Release();
  void Revive();
  int kills() const;

 private:
  bool Kill(const std::string& step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool Committed(const std::vector<pg::Command>& commands,
                 const std::vector<pg::Outcome>& outcomes) const;

  const absl::Duration hold_;
  const std::string checkpoint_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool killed_ ABSL_GUARDED_BY(mutex_) = false;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  int batches_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> met_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::cli
