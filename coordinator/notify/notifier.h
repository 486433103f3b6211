#pragma once

#include <stop_token>

#include "absl/status/status.h"

#include "coordinator/notify/notify_options.h"
#include "coordinator/store/store.h"

namespace dunlin::coordinator {

// Tells a URL of what happened to runs. What has been told is kept in the store: of several
// coordinators one tells each event, another when that one dies before it could note it; so each is
// told at least once, in the order of its run. Posts stand outside every transaction.
// Thread safety: one thread. Blocking: the store, and ten seconds for each post.
class Notifier {
 public:
  // `store` outlives this.
  Notifier(const NotifyOptions& options, Store& store) : options_(options), store_(store) {}
  void Run(std::stop_token stop);
  // One look. UNAVAILABLE: a post failed, which is tried again later, or the store is away.
  absl::Status Tell(std::stop_token stop);

 private:
  absl::Status TellRun(const NoticesOfRun& notices, std::stop_token stop);

  const NotifyOptions options_;
  Store& store_;
};

}  // namespace dunlin::coordinator
