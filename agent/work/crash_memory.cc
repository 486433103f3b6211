#include "agent/work/crash_memory.h"

#include <algorithm>

#include "common/pg/types.h"

namespace dunlin::agent {

Loss LossOf(const absl::Status& status, const std::vector<std::string>& notices) {
  const std::string state = pg::SqlStateOf(status);
  const auto told = [&](const char* what) {
    return state == what || std::find(notices.begin(), notices.end(), what) != notices.end();
  };
  if (told("57P02")) return Loss::kCrash;
  if (told("57P01") || !state.empty()) return Loss::kNoCrash;
  return pg::IsConnectionLost(status) && absl::IsUnavailable(status) ? Loss::kSuspected
                                                                     : Loss::kNoCrash;
}

void CrashMemory::LostDuringBatch(const ShardId& shard, int64_t seq, Loss loss) {
  if (loss == Loss::kNoCrash) return;
  MutexLock lock(mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  Entry& entry = entries_[shard.value()];
  if (entry.seq != seq) entry = Entry{.seq = seq};
  entry.suspected = loss == Loss::kSuspected;
  if (loss == Loss::kCrash) ++entry.crashes;
}

void CrashMemory::TriedToConnect(const absl::Status& status) {
  const bool down = pg::IsServerDown(status);
  if (!status.ok() && !down) return;
  MutexLock lock(mutex_);
  for (auto& [shard, entry] : entries_) {
    if (entry.suspected && down) ++entry.crashes;
    entry.suspected = false;
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
