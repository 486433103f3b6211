#include "agent/control/target_desk.h"

#include <algorithm>
#include <utility>

#include "agent/task/target_task.h"

namespace dunlin::agent {
namespace {
// A coordinator gives a few at a time, and again what is not answered.
constexpr size_t kMaxWaiting = 64;
}  // namespace

TargetDesk::TargetDesk(const SessionFactory& sessions, AnswerFn answer)
    : sessions_(sessions), answer_(std::move(answer)) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

TargetDesk::~TargetDesk() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  taken_.NotifyAll();
}

void TargetDesk::Take(TargetTask task) {
  MutexLock lock(mutex_);
  const bool known = std::any_of(queue_.begin(), queue_.end(),
                                 [&](const TargetTask& waiting) { return waiting.id == task.id; });
  if (known || queue_.size() >= kMaxWaiting) return;
  queue_.push_back(std::move(task));
  taken_.NotifyOne();
}

void TargetDesk::Run(std::stop_token stop) {
  while (true) {
    TargetTask task;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stop.stop_requested()) taken_.Wait(mutex_);
      if (stop.stop_requested()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    answer_(task, RunTargetTask(task, sessions_, stop));
  }
}

}  // namespace dunlin::agent
