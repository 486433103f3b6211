#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

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

// Asks again and again until it holds; false when `timeout` passed.
template <typename Predicate>
bool Eventually(absl::Duration timeout, Predicate predicate);

void PauseBetweenPolls();

template <typename Predicate>
bool Eventually(absl::Duration timeout, Predicate predicate) {
  const absl::Time until = absl::FromUnixNanos(0) + timeout;
  for (absl::Duration waited; absl::FromUnixNanos(0) + waited < until;
       waited += absl::Milliseconds(10)) {
    if (predicate()) return true;
    PauseBetweenPolls();
  }
  return predicate();
}

// A binary of this build.
std::string Binary(const std::string& name);
// A port that was free a moment ago.
int FreePort();

}  // namespace dunlin::testing
