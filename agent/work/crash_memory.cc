#include "agent/work/crash_memory.h"

namespace dunlin::agent {

void CrashMemory::LostDuringBatch(const ShardId& shard, int64_t seq) {
  MutexLock lock(mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  Entry& entry = entries_[shard.value()];
  if (entry.seq != seq) entry = Entry{.seq = seq};
  entry.suspected = true;
}

void CrashMemory::ServerWasDown() {
  MutexLock lock(mutex_);
  for (auto& [shard, entry] : entries_) {
    if (!entry.suspected) continue;
    entry.suspected = false;
    ++entry.crashes;
  }
}

int CrashMemory::CrashesAt(const ShardId& shard, int64_t seq) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(shard.value());
  return it == entries_.end() || it->second.seq != seq ? 0 : it->second.crashes;
}

void CrashMemory::Committed(const ShardId& shard) {
  MutexLock lock(mutex_);
  entries_.erase(shard.value());
}

}  // namespace dunlin::agent
