#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/ids.h"
#include "common/mutex.h"

namespace dunlin::agent {

// Why a connection broke under a batch, as far as it is known then.
enum class Loss {
  kNoCrash,    // somebody's wish (57P01), a deadline of ours, an error that the server told
  kSuspected,  // it was closed without a word
  kCrash,      // the server says so (57P02)
};
// `notices`: SQLSTATEs that came with it.
Loss LossOf(const absl::Status& status, const std::vector<std::string>& notices);

// Remembers which shards had a batch in flight when the server went away, so that a batch which
// crashes the server does not do so for ever (trap 6). Counted only while no batch of the shard
// commits in between. Holds at most one entry per shard in trouble. Thread safety: any thread.
class CrashMemory {
 public:
  // The connection broke under a batch of `shard` at `seq`, as LossOf() says.
  void LostDuringBatch(const ShardId& shard, int64_t seq, Loss loss);
  // What became of the next connection: what broke just before was a crash if the server is down
  // now (pg::IsServerDown), and none if it answers. A network that is silent says neither.
  void TriedToConnect(const absl::Status& status);
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
