#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/time/time.h"

#include "common/mutex.h"

namespace dunlin::testing {

// A network between a process and a server on this machine: hands bytes on, until it is told to be
// slow, to hold everything (half-open: connections are accepted, nothing is handed on, and no end
// is seen of either side), or to break what is open.
// Thread safety: any thread.
class TcpProxy {
 public:
  // Listens on `host` at a free port; CHECKs that it can. Connections go to 127.0.0.1:`to_port`.
  TcpProxy(const std::string& host, int to_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  // Of each piece of data, in each direction; zero = none.
  void SetDelay(absl::Duration delay);
  void Hold(bool hold);
  // Resets all connections; new ones are served.
  void Cut();
  // The ports that the server sees its clients at.
  std::set<int> PortsAtServer() const;

 private:
  struct Flow;
  struct Link;
  void Run(std::stop_token stop);
  void Wake();
  void Accept();
  // Waits for at most `timeout_ms` (-1 = for ever), and serves what is ready. Returns when
  // something is due without a socket's saying so, the same way.
  int PollOnce(int timeout_ms);

  int listener_ = -1;
  int wake_ = -1;  // an eventfd
  int port_ = 0;
  const int to_port_;
  mutable Mutex mutex_;
  absl::Duration delay_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<int> ports_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::unique_ptr<Link>> links_;  // by the client's socket; the thread's own
  std::jthread thread_;
};

}  // namespace dunlin::testing
