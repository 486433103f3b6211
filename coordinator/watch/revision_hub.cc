#include "coordinator/watch/revision_hub.h"

#include <set>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/status_macros.h"

namespace dunlin::coordinator {
namespace {
// One indexed look-up for all watched runs; people cannot tell it from at once.
constexpr absl::Duration kInterval = absl::Milliseconds(100);
}  // namespace

RevisionHub::RevisionHub(Store& store) : store_(store) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

RevisionHub::~RevisionHub() { Stop(); }

void RevisionHub::Add(std::shared_ptr<Watcher> watcher, std::string run, int64_t after_revision) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      const Watcher* key = watcher.get();
      entries_.emplace(key, Entry{.watcher = std::move(watcher),
                                  .run = std::move(run),
                                  .revision = after_revision,
                                  .started = after_revision > 0});
      return;
    }
  }
  watcher->Fail(absl::UnavailableError("the coordinator is shutting down"));
}

void RevisionHub::Remove(const Watcher* watcher) {
  MutexLock lock(mutex_);
  entries_.erase(watcher);
}

void RevisionHub::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  std::map<const Watcher*, Entry> left;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    left.swap(entries_);
  }
  for (auto& [key, entry] : left)
    entry.watcher->Fail(absl::UnavailableError("the coordinator is shutting down"));
}

absl::Status RevisionHub::Serve(Entry& entry, const std::map<std::string, int64_t>& revisions) {
  if (entry.run_id.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(const pb::Run run, store_.GetRun(entry.run));
    entry.run_id = run.run_id();
  }
  const auto now = revisions.find(entry.run_id);
  const bool behind = !entry.started || now == revisions.end() || now->second != entry.revision;
  if (!behind) {
    entry.watcher->Idle();
    return absl::OkStatus();
  }
  if (!entry.watcher->Ready()) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const WatchDelta delta,
                          store_.ReadChanges(entry.run_id, entry.started ? entry.revision : 0));
  if (entry.started && delta.revision == entry.revision) {
    entry.watcher->Idle();
    return absl::OkStatus();
  }
  entry.revision = delta.revision;
  entry.started = true;
  entry.watcher->Deliver(delta);
  return absl::OkStatus();
}

void RevisionHub::Round() {
  std::vector<Entry> entries;
  std::set<std::string> ids;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, entry] : entries_) {
      entries.push_back(entry);
      if (!entry.run_id.empty()) ids.insert(entry.run_id);
    }
  }
  if (entries.empty()) return;
  std::map<std::string, int64_t> revisions;
  const auto read = store_.ListRevisions({ids.begin(), ids.end()});
  if (read.ok()) revisions.insert(read->begin(), read->end());
  for (Entry& entry : entries) {
    const absl::Status served = read.ok() ? Serve(entry, revisions) : read.status();
    if (!served.ok()) entry.watcher->Fail(served);
    MutexLock lock(mutex_);
    const auto it = entries_.find(entry.watcher.get());
    if (it == entries_.end()) continue;
    if (served.ok()) {
      it->second = entry;
    } else {
      entries_.erase(it);
    }
  }
}

void RevisionHub::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Round();
    SystemClock().SleepFor(kInterval, stop);
  }
}

}  // namespace dunlin::coordinator
