#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "agent/lease.h"
#include "agent/ledger/session.h"
#include "common/mutex.h"

namespace dunlin::agent {

// Does the target tasks of one target, one after the other, on a thread of its own: neither a shard
// in work nor another target that hangs keeps an answer back. Thread safety: any thread.
class TargetDesk {
 public:
  using AnswerFn = std::function<void(const TargetTask&, const TargetTaskAnswer&)>;
  // `sessions` outlives it; `answer` is called on its thread.
  TargetDesk(const SessionFactory& sessions, AnswerFn answer);
  ~TargetDesk();
  // Again with the same id while it waits: ignored.
  void Take(TargetTask task);

 private:
  void Run(std::stop_token stop);

  const SessionFactory& sessions_;
  const AnswerFn answer_;
  Mutex mutex_;
  CondVar taken_;
  std::deque<TargetTask> queue_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: stops before the rest goes
};

}  // namespace dunlin::agent
