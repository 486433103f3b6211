#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/ids.h"
#include "common/mutex.h"

namespace dunlin::agent {

// Remembers which shards had a batch in flight when the server went away, so that a batch which
// crashes the server does not do so for ever (trap 6). Counted only while no batch of the shard
// commits in between. Holds at most one entry per shard in trouble. Thread safety: any thread.
class CrashMemory {
 public:
  // The connection broke under a batch of `shard` at `seq`; not a stop (57P01), which is somebody's
  // wish.
  void LostDuringBatch(const ShardId& shard, int64_t seq);
  // A connection to the server was refused or it is recovering: what broke just before was a crash.
  void ServerWasDown();
  // Crashes so far with the shard at `seq`.
  int CrashesAt(const ShardId& shard, int64_t seq);
  void Committed(const ShardId& shard);

 private:
  struct Entry {
    int64_t seq = 0;
    int crashes = 0;
    bool suspected = false;  // lost, not yet known whether the server crashed
  };
  // More shards than an agent has slots are never in flight; this bounds what zombies leave behind.
  static constexpr size_t kMaxEntries = 4096;

  Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::agent
