#include "tests/testlib/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

#include "common/clock.h"
#include "common/log.h"

namespace dunlin::testing {

absl::Duration PauseBetweenPolls(absl::Duration asked) {
  const absl::Duration pause = std::clamp(asked, absl::Milliseconds(10), absl::Milliseconds(300));
  SystemClock().SleepFor(pause, {});
  return pause;
}

Process::Process(const std::vector<std::string>& argv) {
  static std::atomic<int> counter = 0;
  output_path_ = absl::StrCat("/tmp/dunlin_test_", getpid(), "_", counter++, ".out");
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  CHECK_GE(pid_, 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = open(output_path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
}

Process::~Process() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
  }
  unlink(output_path_.c_str());
}

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

bool Process::Running() {
  if (reaped_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  reaped_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

int Process::Wait(absl::Duration timeout) {
  Eventually(timeout, [&] { return !Running(); });
  return exit_code_;
}

std::string Process::Output() const {
  std::ifstream file(output_path_);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

RunResult RunToEnd(const std::vector<std::string>& argv) {
  Process process(argv);
  const int code = process.Wait(absl::Minutes(2));
  return {code, process.Output()};
}

std::string Binary(const std::string& name) {
  const char* folder = std::getenv("DUNLIN_BIN_DIR");
  CHECK(folder != nullptr) << "set DUNLIN_BIN_DIR to the folder with the binaries, or run by ctest";
  return absl::StrCat(folder, "/", name);
}

int FreePort() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  CHECK_EQ(getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(socket_fd);
  return ntohs(address.sin_port);
}

}  // namespace dunlin::testing
