#include "coordinator/coordinator.h"

#include <chrono>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pg/connection.h"
#include "common/rpc/channel.h"
#include "common/status_macros.h"
#include "coordinator/notify/http_post.h"
#include "coordinator/notify/notifier.h"
#include "coordinator/rpc/services.h"
#include "coordinator/store/store.h"
#include "coordinator/watch/revision_hub.h"

namespace dunlin::coordinator {
namespace {

constexpr absl::Duration kSweepInterval = absl::Milliseconds(250);
constexpr absl::Duration kWholeSweepInterval = absl::Seconds(1);
constexpr absl::Duration kPruneInterval = absl::Minutes(5);
// More threads than store connections: callers that wait for a connection do not keep others from
// being refused.
constexpr int kServerThreads = 64;

absl::Status CheckOptions(const CoordinatorOptions& options) {
  DUNLIN_RETURN_IF_ERROR(pg::ValidateDsn(options.store_dsn));
  if (options.lease_ttl < absl::Seconds(1) || options.lease_ttl > absl::Minutes(10)) {
    return absl::InvalidArgumentError("--lease-ttl must be 1s to 10m");
  }
  if (!options.notify.url.Reveal().empty())
    DUNLIN_RETURN_IF_ERROR(CheckNotifyUrl(options.notify.url));
  if (options.listen.empty()) return absl::OkStatus();
  DUNLIN_RETURN_IF_ERROR(ValidateAddress(options.listen));
  if (!IsLoopback(options.listen) && !options.insecure) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.listen,
                     " is not a loopback address, and calls are plain text for now: listen on "
                     "127.0.0.1, or say --insecure if every host that can reach it is trusted"));
  }
  return absl::OkStatus();
}

}  // namespace

// Members in the order of their dependencies; keep it so: destruction runs backwards.
struct Coordinator::Impl {
  explicit Impl(const CoordinatorOptions& options_in)
      : options(options_in),
        store({.dsn = options.store_dsn, .lease_ttl = options.lease_ttl, .local = options.local}),
        hub(store),
        run_service(MakeRunService(store, hub)),
        migration_service(MakeMigrationService(store)),
        fleet_service(MakeFleetService(store)),
        agent_service(MakeAgentService(store)) {}
  ~Impl() { Shutdown(); }

  absl::Status PrepareStore() {
    Clock& clock = SystemClock();
    absl::Duration logged_at = -absl::InfiniteDuration();
    while (true) {
      const absl::Status ready =
          options.migrate_schema ? store.MigrateSchema() : store.CheckSchema();
      // Lost while it was asked: also when it only did not answer in time.
      const bool away = absl::IsUnavailable(ready) || pg::IsConnectionLost(ready);
      if (!options.wait_for_store || !away) return ready;
      if (clock.Monotonic() - logged_at > kLogEvery) {
        LOG(WARNING) << Event("store_unreachable").Kv("why", ready.message());
        logged_at = clock.Monotonic();
      }
      clock.SleepFor(absl::Milliseconds(500), options.stop);
      if (options.stop.stop_requested())
        return absl::CancelledError("stopped before the store came");
    }
  }

  absl::Status StartServer() {
    grpc::EnableDefaultHealthCheckService(true);  // grpc.health.v1, for probes
    grpc::ServerBuilder builder;
    grpc::ResourceQuota quota("coordinator");
    quota.SetMaxThreads(kServerThreads);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(kMaxMessageBytes);
    // Two processes must not share a port unseen; a replacement can bind it as soon as the former
    // has ended.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    if (!options.listen.empty()) {
      builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
    }
    builder.RegisterService(run_service.get());
    builder.RegisterService(migration_service.get());
    builder.RegisterService(fleet_service.get());
    builder.RegisterService(agent_service.get());
    server = builder.BuildAndStart();
    if (server == nullptr || (!options.listen.empty() && port == 0)) {
      return absl::AlreadyExistsError(
          absl::StrCat("cannot listen on ", options.listen, "; is another process on that port?"));
    }
    return absl::OkStatus();
  }

  void RunSweeper(std::stop_token stop) {
    Clock& clock = SystemClock();
    absl::Duration pruned_at = clock.Monotonic();
    absl::Duration logged_at = -absl::InfiniteDuration();
    absl::Duration whole_at = -absl::InfiniteDuration();
    while (!stop.stop_requested()) {
      const bool whole = clock.Monotonic() - whole_at >= kWholeSweepInterval;
      if (whole) whole_at = clock.Monotonic();
      absl::Status status = store.Sweep(whole);
      if (status.ok() && clock.Monotonic() - pruned_at > kPruneInterval) {
        status = store.Prune();
        pruned_at = clock.Monotonic();
      }
      if (!status.ok() && clock.Monotonic() - logged_at > kLogEvery) {
        LOG(WARNING) << Event("sweep_failed").Kv("why", status.message());
        logged_at = clock.Monotonic();
      }
      clock.SleepFor(kSweepInterval, stop);
    }
  }

  void Shutdown() {
    teller.request_stop();
    if (teller.joinable()) teller.join();
    sweeper.request_stop();
    if (sweeper.joinable()) sweeper.join();
    hub.Stop();
    if (server != nullptr) {
      server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
      server.reset();
    }
  }

  const CoordinatorOptions options;
  Store store;
  RevisionHub hub;
  std::unique_ptr<grpc::Service> run_service;
  std::unique_ptr<grpc::Service> migration_service;
  std::unique_ptr<grpc::Service> fleet_service;
  std::unique_ptr<grpc::Service> agent_service;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
  std::jthread sweeper;
  std::jthread teller;
};

Coordinator::Coordinator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Coordinator::~Coordinator() = default;

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Make(CoordinatorOptions options) {
  DUNLIN_RETURN_IF_ERROR(CheckOptions(options));
  auto impl = std::make_unique<Impl>(options);
  DUNLIN_RETURN_IF_ERROR(impl->PrepareStore());
  DUNLIN_RETURN_IF_ERROR(impl->StartServer());
  if (options.background) {
    impl->sweeper =
        std::jthread([raw = impl.get()](std::stop_token stop) { raw->RunSweeper(stop); });
  }
  if (options.background && !options.notify.url.Reveal().empty()) {
    impl->teller = std::jthread([raw = impl.get()](std::stop_token stop) {
      Notifier(raw->options.notify, raw->store).Run(stop);
    });
  }
  return std::unique_ptr<Coordinator>(new Coordinator(std::move(impl)));
}

std::shared_ptr<grpc::Channel> Coordinator::InProcessChannel() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  return impl_->server->InProcessChannel(args);
}

int Coordinator::port() const { return impl_->port; }
absl::Status Coordinator::RevokeAllLeases(const std::string& reason) {
  return impl_->store.RevokeAllLeases(reason);
}
void Coordinator::Shutdown() { impl_->Shutdown(); }

}  // namespace dunlin::coordinator
