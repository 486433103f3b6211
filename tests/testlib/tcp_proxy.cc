#include "tests/testlib/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <utility>
#include <vector>

#include <glog/logging.h>

#include "common/clock.h"

namespace dunlin::testing {
namespace {

constexpr size_t kBufferedMax = 1 << 20;

sockaddr_in Address(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  CHECK_EQ(inet_pton(AF_INET, host.c_str(), &address.sin_addr), 1) << host;
  return address;
}

int PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

void SetNonBlocking(int fd) { CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0); }

// Closing then sends a reset, as a firewall's would be.
void ResetWhenClosed(int fd) {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

}  // namespace

// What one side has sent and the other has not taken yet.
struct TcpProxy::Flow {
  struct Piece {
    absl::Duration due;
    std::string bytes;
  };
  std::deque<Piece> pieces;
  size_t size = 0;
  bool ended = false;  // the sender has closed

  // False when the sender's socket is broken.
  bool Read(int from, absl::Duration due) {
    std::array<char, 16384> buffer;
    const ssize_t got = recv(from, buffer.data(), buffer.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) ended = true;
    if (got > 0) pieces.push_back({due, std::string(buffer.data(), static_cast<size_t>(got))});
    size += static_cast<size_t>(got);
    return true;
  }
  // False when the receiver's socket is broken, or all was written and the sender had closed.
  bool Write(int to, absl::Duration now) {
    while (!pieces.empty() && pieces.front().due <= now) {
      std::string& bytes = pieces.front().bytes;
      const ssize_t sent = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      size -= static_cast<size_t>(sent);
      bytes.erase(0, static_cast<size_t>(sent));
      if (bytes.empty()) pieces.pop_front();
    }
    return !(ended && pieces.empty());
  }
  bool Due(absl::Duration now) const { return !pieces.empty() && pieces.front().due <= now; }
};

struct TcpProxy::Link {
  int client = -1;
  int server = -1;
  Flow up, down;

  explicit Link(int client_in) : client(client_in) { SetNonBlocking(client); }
  ~Link() {
    close(client);
    if (server >= 0) close(server);
  }
  void Cut() const {
    ResetWhenClosed(client);
    if (server >= 0) ResetWhenClosed(server);
  }
  bool Connect(int port) {
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Address("127.0.0.1", port);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      return false;
    SetNonBlocking(server);
    return true;
  }
  pollfd Want(int fd, const Flow& from, const Flow& to, absl::Duration now) const {
    const bool read = !from.ended && from.size < kBufferedMax;
    return {.fd = fd,
            .events = static_cast<short>((read ? POLLIN : 0) | (to.Due(now) ? POLLOUT : 0)),
            .revents = 0};
  }
};

TcpProxy::TcpProxy(const std::string& host, int to_port) : to_port_(to_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Address(host, 0);
  CHECK_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
      << host;
  CHECK_EQ(listen(listener_, 64), 0);
  SetNonBlocking(listener_);
  port_ = PortOf(listener_);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK_GE(wake_, 0);
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

TcpProxy::~TcpProxy() {
  thread_.request_stop();
  Wake();
  thread_.join();
  links_.clear();
  close(listener_);
  close(wake_);
}

void TcpProxy::Wake() {
  const uint64_t one = 1;
  CHECK_EQ(write(wake_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
}

void TcpProxy::SetDelay(absl::Duration delay) {
  MutexLock lock(mutex_);
  delay_ = delay;
}

void TcpProxy::Hold(bool hold) {
  {
    MutexLock lock(mutex_);
    hold_ = hold;
  }
  Wake();
}

void TcpProxy::Cut() {
  {
    MutexLock lock(mutex_);
    cut_ = true;
  }
  Wake();
}

std::set<int> TcpProxy::PortsAtServer() const {
  MutexLock lock(mutex_);
  return ports_;
}

void TcpProxy::Accept() {
  while (true) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    links_.emplace(client, std::make_unique<Link>(client));
  }
}

int TcpProxy::PollOnce(int timeout_ms) {
  bool hold = false, cut = false;
  absl::Duration delay;
  {
    MutexLock lock(mutex_);
    hold = hold_;
    cut = std::exchange(cut_, false);
    delay = delay_;
  }
  if (cut) {
    for (const auto& [client, link] : links_) link->Cut();
    links_.clear();
  }
  std::vector<pollfd> fds = {{.fd = listener_, .events = POLLIN, .revents = 0},
                             {.fd = wake_, .events = POLLIN, .revents = 0}};
  std::vector<Link*> polled;
  std::vector<int> refused;
  const absl::Duration now = SystemClock().Monotonic();
  for (auto& [client, link] : links_) {
    if (hold) break;
    if (link->server < 0 && !link->Connect(to_port_)) {
      refused.push_back(client);
      continue;
    }
    polled.push_back(link.get());
    fds.push_back(link->Want(link->client, link->up, link->down, now));
    fds.push_back(link->Want(link->server, link->down, link->up, now));
  }
  for (const int client : refused) links_.erase(client);
  {
    std::set<int> ports;
    for (const auto& [client, link] : links_)
      if (link->server >= 0) ports.insert(PortOf(link->server));
    MutexLock lock(mutex_);
    ports_ = std::move(ports);
  }
  poll(fds.data(), fds.size(), timeout_ms);
  uint64_t woken = 0;
  if (read(wake_, &woken, sizeof(woken)) > 0) return 0;  // told something: look again before acting
  Accept();
  absl::Duration next = absl::InfiniteDuration();
  const absl::Duration after = SystemClock().Monotonic();
  for (size_t i = 0; i < polled.size(); ++i) {
    Link& link = *polled[i];
    const short client_events = fds[2 + 2 * i].revents, server_events = fds[3 + 2 * i].revents;
    bool good = true;
    if ((client_events & ~POLLOUT) != 0) good = link.up.Read(link.client, after + delay);
    if (good && (server_events & ~POLLOUT) != 0) good = link.down.Read(link.server, after + delay);
    good = good && link.up.Write(link.server, after) && link.down.Write(link.client, after);
    for (const Flow* flow : {&link.up, &link.down})
      if (!flow->pieces.empty()) next = std::min(next, flow->pieces.front().due - after);
    if (!good) links_.erase(link.client);
  }
  if (next == absl::InfiniteDuration()) return -1;
  return static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(next) + 1));
}

void TcpProxy::Run(std::stop_token stop) {
  int timeout_ms = -1;
  while (!stop.stop_requested()) timeout_ms = PollOnce(timeout_ms);
}

}  // namespace dunlin::testing
