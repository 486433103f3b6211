#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "coordinator/store/store.h"

namespace dunlin::coordinator {

// One thread per replica that reads for all watchers: asks the store for the revisions of watched
// runs, and reads what changed for those watchers that are behind and have nothing in flight. A
// slow watcher is simply behind: what it missed is read again from the store, so memory is one
// message per watcher (I10), and nothing is lost (I11).
class RevisionHub {
 public:
  // Implemented by a stream. Called from the hub's thread; must not block.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // Ready for another message? False while one is being written.
    virtual bool Ready() = 0;
    virtual void Deliver(const WatchDelta& delta) = 0;
    // Nothing to tell; called every round, so that the stream sends a sign of life when it is due.
    virtual void Idle() = 0;
    // The last call: the stream ends with this status.
    virtual void Fail(const absl::Status& status) = 0;
  };

  // `store` outlives the hub.
  explicit RevisionHub(Store& store);
  ~RevisionHub();

  // `run`: as operators name it. Resolved by the hub's thread.
  void Add(std::shared_ptr<Watcher> watcher, std::string run, int64_t after_revision);
  void Remove(const Watcher* watcher);
  // Ends all streams, and those that come later.
  void Stop();

 private:
  struct Entry {
    std::shared_ptr<Watcher> watcher;
    std::string run;     // as asked for
    std::string run_id;  // empty until resolved
    int64_t revision = 0;
    bool started = false;
  };
  void Run(std::stop_token stop);
  void Round();
  absl::Status Serve(Entry& entry, const std::map<std::string, int64_t>& revisions);

  Store& store_;
  Mutex mutex_;
  std::map<const Watcher*, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace dunlin::coordinator
