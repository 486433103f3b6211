#include "cli/rehearsal/interrupter.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/clock.h"

namespace dunlin::cli {
namespace {

// Without parameters: epochs rise with every interruption.
std::string TextOf(const std::vector<pg::Command>& commands) {
  std::string text;
  for (const pg::Command& command : commands) absl::StrAppend(&text, command.statement.sql, ";");
  return text;
}

// Whether a lost answer leaves in doubt what was done; where nothing was, a call that is lost
// before it is sent is the same.
bool ChangesSomething(const std::vector<pg::Outcome>& outcomes) {
  for (const pg::Outcome& outcome : outcomes) {
    const absl::string_view tag = outcome.result.command_tag;
    if (!outcome.status.ok()) continue;
    if (tag == "COMMIT" || absl::StartsWith(tag, "UPDATE") || absl::StartsWith(tag, "INSERT") ||
        absl::StartsWith(tag, "DELETE"))
      return true;
  }
  return false;
}

}  // namespace

bool Interrupter::Committed(const std::vector<pg::Command>& commands,
                            const std::vector<pg::Outcome>& outcomes) const {
  bool checkpoint = false;
  for (size_t i = 0; i < commands.size(); ++i) {
    checkpoint = checkpoint || commands[i].statement.name == checkpoint_;
    if (checkpoint && outcomes[i].status.ok() && outcomes[i].result.command_tag == "COMMIT")
      return true;
  }
  return false;
}

bool Interrupter::MayCall(const std::vector<pg::Command>& commands) {
  MutexLock lock(mutex_);
  if (!killed_ && !Kill(absl::StrCat("before ", TextOf(commands)))) return true;
  Hold();
  return false;
}

bool Interrupter::MayAnswer(const std::vector<pg::Command>& commands,
                            const std::vector<pg::Outcome>& outcomes) {
  MutexLock lock(mutex_);
  const bool lost =
      killed_ || (ChangesSomething(outcomes) && Kill(absl::StrCat("behind ", TextOf(commands))));
  if (Committed(commands, outcomes)) ++batches_;
  if (lost) Hold();
  return !lost;
}

bool Interrupter::Kill(const std::string& step) {
  if (!met_.insert(absl::StrCat(batches_, " ", step)).second) return false;
  killed_ = true;
  changed_.NotifyAll();
  return true;
}

void Interrupter::Hold() {
  const absl::Duration until = SystemClock().Monotonic() + hold_;
  while (killed_ && !released_) {
    const absl::Duration left = until - SystemClock().Monotonic();
    if (left <= absl::ZeroDuration()) return;
    changed_.WaitFor(mutex_, left);
  }
}

bool Interrupter::killed() const {
  MutexLock lock(mutex_);
  return killed_;
}

bool Interrupter::WaitUntilKilled(absl::Duration timeout) const {
  MutexLock lock(mutex_);
  if (!killed_) changed_.WaitFor(mutex_, timeout);
  return killed_;
}

void Interrupter::Release() {
  MutexLock lock(mutex_);
  released_ = true;
  changed_.NotifyAll();
}

void Interrupter::Revive() {
  MutexLock lock(mutex_);
  killed_ = released_ = false;
  changed_.NotifyAll();
}

int Interrupter::kills() const {
  MutexLock lock(mutex_);
  return static_cast<int>(met_.size());
}

}  // namespace dunlin::cli
