#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

#include "common/clock.h"

namespace dunlin::testing {

// A child process; killed when the object goes, and by the kernel when the test dies. Output goes
// to a file.
class Process {
 public:
  explicit Process(const std::vector<std::string>& argv);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal);
  bool Running();
  // The exit code, 128 + signal when killed; -1 when it still ran after `timeout`.
  int Wait(absl::Duration timeout);
  std::string Output() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
  bool reaped_ = false;
  std::string output_path_;
};

// Runs to the end. CHECKs that it ended within a minute.
struct RunResult {
  int exit_code;
  std::string output;
};
RunResult RunToEnd(const std::vector<std::string>& argv);

// Asks again and again until it holds; false when so much time was spent between the questions. The
// questions themselves do not count: beside other tests they may take long. Who asks by a process
// waits as long as it took, so that waiting leaves the cores to what is waited for.
template <typename Predicate>
bool Eventually(absl::Duration timeout, Predicate predicate);

// Waits between two questions, after one that took `asked`; how long.
absl::Duration PauseBetweenPolls(absl::Duration asked);

template <typename Predicate>
bool Eventually(absl::Duration timeout, Predicate predicate) {
  absl::Duration waited;
  while (waited < timeout) {
    const absl::Duration began = SystemClock().Monotonic();
    if (predicate()) return true;
    waited += PauseBetweenPolls(SystemClock().Monotonic() - began);
  }
  return predicate();
}

// A binary of this build.
std::string Binary(const std::string& name);
// A port that was free a moment ago.
int FreePort();

}  // namespace dunlin::testing
