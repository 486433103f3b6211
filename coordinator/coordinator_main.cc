// dunlin-coordinator: flags → CoordinatorOptions → Make → run until a signal; nothing else.
#include <pthread.h>
#include <signal.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

#include "common/clock.h"
#include "common/dsn_source.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text/duration.h"
#include "coordinator/coordinator.h"
#include "coordinator/notify/notice.h"

namespace dunlin::coordinator {
namespace {

struct Flags {
  std::string store;
  std::string listen = "127.0.0.1:7070";
  std::string lease_ttl = "15s";
  std::string notify;
  std::string notify_template;
  std::string stall_after = "10m";
  bool insecure = false;
  int verbosity = 0;
};

absl::StatusOr<NoticeTemplate> ReadNoticeTemplate(const std::string& path) {
  constexpr size_t kMaxBytes = 64 << 10;  // each notice is a POST of about that
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad() || text.empty())
    return absl::InvalidArgumentError(absl::StrCat("--notify-template: cannot read ", path));
  if (text.size() > kMaxBytes)
    return absl::InvalidArgumentError(
        absl::StrCat("--notify-template: ", path, " is larger than 64 KiB"));
  return ParseNoticeTemplate(path, text);
}

absl::StatusOr<CoordinatorOptions> ToOptions(const Flags& flags) {
  CoordinatorOptions options{
      .listen = flags.listen, .insecure = flags.insecure, .wait_for_store = true};
  DUNLIN_ASSIGN_OR_RETURN(options.store_dsn, ReadDsn(flags.store));
  DUNLIN_ASSIGN_OR_RETURN(options.lease_ttl, ParseDuration(flags.lease_ttl));
  if (!flags.notify.empty()) {
    auto url = ReadDsn(flags.notify);
    // Only a file can fail, so that the flag's value is no secret.
    if (!url.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("--notify: cannot read a URL from the first line of ", flags.notify));
    options.notify.url = *std::move(url);
  }
  if (!flags.notify_template.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(options.notify.shape, ReadNoticeTemplate(flags.notify_template));
  }
  DUNLIN_ASSIGN_OR_RETURN(options.notify.stall_after, ParseDuration(flags.stall_after));
  if (options.notify.stall_after < absl::Seconds(10))
    return absl::InvalidArgumentError("--stall-after must be 10s or more");
  return options;
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Requests `end` at SIGTERM or SIGINT; from the beginning, since the store may be absent for long.
void WaitForSignal(std::stop_token give_up, std::stop_source& end) {
  const sigset_t signals = EndSignals();
  const timespec interval{.tv_sec = 0, .tv_nsec = 100'000'000};
  while (!give_up.stop_requested()) {
    if (sigtimedwait(&signals, nullptr, &interval) > 0) end.request_stop();
  }
}

int RunCoordinator(const Flags& flags) {
  // Before any thread is made: all inherit it, so that the signal ends none of them.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  InitLogging("dunlin-coordinator", flags.verbosity, false);
  std::stop_source end;
  const std::jthread waiter([&end](std::stop_token give_up) { WaitForSignal(give_up, end); });
  absl::StatusOr<CoordinatorOptions> options = ToOptions(flags);
  if (options.ok()) options->stop = end.get_token();
  absl::StatusOr<std::unique_ptr<Coordinator>> coordinator =
      options.ok() ? Coordinator::Make(*options) : options.status();
  if (absl::IsCancelled(coordinator.status())) return 0;
  if (!coordinator.ok()) {
    std::cerr << "dunlin-coordinator: " << coordinator.status().message() << "\n";
    return absl::IsInvalidArgument(coordinator.status()) ? 2 : 1;
  }
  LOG(INFO) << Event("listening").Kv("address", flags.listen).Kv("port", (*coordinator)->port());
  while (!end.stop_requested()) SystemClock().SleepFor(absl::Hours(1), end.get_token());
  (*coordinator)->Shutdown();
  LOG(INFO) << Event("coordinator_ended");
  return 0;
}

}  // namespace
}  // namespace dunlin::coordinator

int main(int argc, char** argv) {
  dunlin::coordinator::Flags flags;
  CLI::App app{
      "Partitions migrations into shards and leases them to agents; any number of replicas may "
      "share a store."};
  app.set_version_flag("--version", "dunlin-coordinator 0.1.0");
  app.add_option("--store", flags.store,
                 "connection string of the store's own database, or @FILE with it")
      ->required();
  app.add_option("--listen", flags.listen, "HOST:PORT; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--lease-ttl", flags.lease_ttl, "how long a silent agent keeps a shard")
      ->capture_default_str();
  CLI::Option* notify = app.add_option(
      "--notify", flags.notify,
      "URL that is told by POST of changes of state, rows set aside, and stalls; or @FILE "
      "with it, since it may hold a secret");
  app.add_option("--notify-template", flags.notify_template,
                 "file with the JSON to post, with {{placeholders}} (examples/notify/slack.json); "
                 "without it all fields of a notice are posted")
      ->needs(notify);
  app.add_option("--stall-after", flags.stall_after,
                 "how long nothing of a run may move until that is told")
      ->capture_default_str();
  app.add_flag("--insecure", flags.insecure, "allow plain text on addresses that are not loopback");
  app.add_option("-v,--verbosity", flags.verbosity, "log more (0 to 3)");
  app.footer(
      "Example: dunlin-coordinator --store @/etc/dunlin/store.dsn --listen 127.0.0.1:7070\n"
      "Exit codes: 0 ended by SIGTERM, 1 cannot start, 2 bad options.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return dunlin::coordinator::RunCoordinator(flags);
}
