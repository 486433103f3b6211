#include "tests/testlib/privileged.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include <glog/logging.h>

namespace dunlin::testing {
namespace {

// The first command that fails, with its output; empty when all went well.
std::string RunAll(const std::vector<std::vector<std::string>>& commands) {
  for (const std::vector<std::string>& command : commands) {
    const RunResult result = RunToEnd(command);
    if (result.exit_code == 0) continue;
    return absl::StrCat(command[0], " ", command.size() > 1 ? command[1] : "", ": ",
                        result.exit_code == 127 ? "not installed" : result.output);
  }
  return "";
}

void SayAbsent(const std::string& what, const std::string& why) {
  std::cout << "skipped: " << what << " (" << why << ")" << std::endl;
}

}  // namespace

std::unique_ptr<SmallDisk> SmallDisk::Make(int mebibytes) {
  std::string folder = "/tmp/dunlin_disk_XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  const std::string failed = getuid() != 0
                                 ? "needs root"
                                 : RunAll({{"mount", "-t", "tmpfs", "-o",
                                            absl::StrCat("size=", mebibytes, "m"), "tmpfs", folder},
                                           {"mkdir", folder + "/data"},
                                           {"chown", "postgres", folder + "/data"}});
  std::unique_ptr<SmallDisk> disk(new SmallDisk(folder));
  if (failed.empty()) return disk;
  SayAbsent("a disk that gets full", failed);
  return nullptr;
}

SmallDisk::~SmallDisk() {
  RunAll({{"umount", "--lazy", folder_}});
  std::error_code absent;  // a leftover in /tmp fails no test
  std::filesystem::remove(folder_, absent);
}

void SmallDisk::FillUp() {
  const int file = open((folder_ + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  CHECK_GE(file, 0);
  const std::string mebibyte(1 << 20, 'x');
  while (write(file, mebibyte.data(), mebibyte.size()) > 0) {
  }
  close(file);
}

void SmallDisk::Clear() { CHECK(std::filesystem::remove(folder_ + "/filler")); }

std::unique_ptr<NetworkNamespace> NetworkNamespace::Make() {
  const std::string name = absl::StrCat("dunlin", getpid());
  // Of the addresses for tests (RFC 2544), so that no real network has it; a process's number makes
  // it one's own.
  const int third = (getpid() / 64) % 256, fourth = (getpid() % 64) * 4;
  const std::string host = absl::StrCat("198.18.", third, ".", fourth + 1);
  const std::string inside = absl::StrCat("198.18.", third, ".", fourth + 2);
  const std::string outer = absl::StrCat("dl", getpid()), inner = absl::StrCat("dm", getpid());
  std::unique_ptr<NetworkNamespace> space(new NetworkNamespace(name, host));
  const std::string failed =
      getuid() != 0 ? "needs root"
                    : RunAll({{"nft", "--version"},
                              {"ip", "netns", "add", name},
                              {"ip", "link", "add", outer, "type", "veth", "peer", "name", inner,
                               "netns", name},
                              {"ip", "address", "add", host + "/30", "dev", outer},
                              {"ip", "link", "set", outer, "up"},
                              {"ip", "-n", name, "address", "add", inside + "/30", "dev", inner},
                              {"ip", "-n", name, "link", "set", inner, "up"},
                              {"ip", "-n", name, "link", "set", "lo", "up"},
                              {"ip", "netns", "exec", name, "nft", "list", "ruleset"}});
  if (failed.empty()) return space;
  SayAbsent("partitions by a network namespace", failed);
  return nullptr;
}

NetworkNamespace::~NetworkNamespace() {
  RunAll({{"ip", "netns", "delete", name_}});  // the cable goes with it
}

std::vector<std::string> NetworkNamespace::Prefix() const { return {"ip", "netns", "exec", name_}; }

void NetworkNamespace::SetDead(bool dead) {
  std::vector<std::string> command = Prefix();
  command.push_back("nft");
  const auto drop_all = [](const char* hook) {
    return absl::StrCat("chain ", hook, " { type filter hook ", hook,
                        " priority 0; policy drop; };");
  };
  command.push_back(
      dead ? absl::StrCat("table inet cable {", drop_all("input"), drop_all("output"), "}")
           : "delete table inet cable");
  CHECK_EQ(RunAll({command}), "");
}

std::unique_ptr<PgBouncer> PgBouncer::Make(int server_port) {
  if (const std::string failed = RunAll({{"pgbouncer", "--version"}}); !failed.empty()) {
    SayAbsent("PgBouncer", failed);
    return nullptr;
  }
  std::string folder = "/tmp/dunlin_bouncer_XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  std::unique_ptr<PgBouncer> bouncer(new PgBouncer(folder, FreePort()));
  std::ofstream(folder + "/users") << "\"postgres\" \"\"\n";
  bouncer->Configure(server_port);
  std::filesystem::permissions(folder, std::filesystem::perms::all);
  bouncer->Start();
  return bouncer;
}

PgBouncer::~PgBouncer() {
  process_.reset();
  std::error_code absent;  // a leftover in /tmp fails no test
  std::filesystem::remove_all(folder_, absent);
}

void PgBouncer::Configure(int server_port) {
  std::ofstream(folder_ + "/pgbouncer.ini")
      << "[databases]\n* = host=127.0.0.1 port=" << server_port
      << "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_
      << "\nunix_socket_dir =\nauth_type = trust\nauth_file = " << folder_
      << "/users\npool_mode = transaction\ndefault_pool_size = " << kPoolSize
      << "\nmax_client_conn = 100\n"
         "server_round_robin = 1\n";
}

void PgBouncer::Start() {
  std::vector<std::string> argv = {"pgbouncer", "--quiet", folder_ + "/pgbouncer.ini"};
  // It refuses to run as root.
  if (getuid() == 0) {
    argv.insert(argv.begin(), {"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                               "--pdeathsig=KILL"});
  }
  process_ = std::make_unique<Process>(argv);
}

void PgBouncer::Restart() {
  process_->Signal(SIGKILL);
  process_->Wait(absl::Seconds(10));
  Start();
}

void PgBouncer::MoveTo(int server_port) {
  Configure(server_port);
  process_->Signal(SIGHUP);
}

std::string PgBouncer::Dsn(const std::string& database) const {
  return absl::StrCat("postgresql://postgres@127.0.0.1:", port_, "/", database);
}

std::vector<std::string> OtherClock(int seconds) {
  if (seconds == 0) return {};
  // A copy: servers run as another user, who may not be let into the build's folder.
  struct Copy {
    const std::string path = absl::StrCat("/tmp/dunlin_other_clock_", getpid(), ".so");
    Copy() {
      std::filesystem::copy_file(DUNLIN_OTHER_CLOCK, path,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    ~Copy() { unlink(path.c_str()); }
  };
  static const Copy library;
  const char* sanitizer = std::getenv("ASAN_OPTIONS");
  return {"env", "LD_PRELOAD=" + library.path, absl::StrCat("DUNLIN_CLOCK_OFF=", seconds),
          // It wants to be the first library of a process.
          absl::StrCat("ASAN_OPTIONS=", sanitizer == nullptr ? "" : sanitizer,
                       ":verify_asan_link_order=0")};
}

}  // namespace dunlin::testing
