#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include <grpcpp/channel.h>

#include "common/limits.h"
#include "common/secret.h"
#include "coordinator/notify/notify_options.h"

namespace dunlin::coordinator {

struct CoordinatorOptions {
  Secret store_dsn;
  // HOST:PORT; port 0 takes a free one; empty = no port at all (in-process only).
  std::string listen;
  absl::Duration lease_ttl = kDefaultLeaseTtl;
  // Allows plain text on addresses that are not loopback.
  bool insecure = false;
  // The store lies in the one target's own database (`dunlin local`): every run gets that target.
  bool local = false;
  // Creates or upgrades the store's schema; else it must be there.
  bool migrate_schema = true;
  // Expires leases and looks after runs; off for one-shot commands, whose transactions do what they
  // change.
  bool background = true;
  // Waits for an absent store instead of failing (the daemon), until `stop`.
  bool wait_for_store = false;
  std::stop_token stop = {};
  // Whom to tell what happens to runs; needs `background`.
  NotifyOptions notify = {};
};

// One replica of the coordinator: stateless, any number may share a store. Composition root.
// Thread safety: any thread. Blocking: Make() as its options say; Shutdown() up to two seconds.
class Coordinator {
 public:
  // INVALID_ARGUMENT bad options; UNAVAILABLE the store is away (unless wait_for_store); NOT_FOUND
  // no store and not asked to make one; ALREADY_EXISTS the port is taken; CANCELLED `stop`.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Make(CoordinatorOptions options);
  ~Coordinator();

  // Calls without a port, for the same process.
  std::shared_ptr<grpc::Channel> InProcessChannel();
  // The port it listens on; 0 without one.
  int port() const;
  // `local` knows that its predecessor is dead: its leases need not be waited for.
  absl::Status RevokeAllLeases(const std::string& reason);
  // No new calls; streams end with UNAVAILABLE.
  void Shutdown();

 private:
  struct Impl;
  explicit Coordinator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dunlin::coordinator
