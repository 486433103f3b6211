#include "tests/coordinator/fake_ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/ids.h"

namespace dunlin::coordinator {

namespace agent_pb = ::dunlin::agent::v1;

agent_pb::LedgerShard FakeLedger::ToProto(const Shard& shard) const {
  agent_pb::LedgerShard out;
  out.set_shard_id(shard.id);
  out.set_step(shard.step);
  out.set_relation(relation_);
  if (shard.lower) out.mutable_lower()->add_column_text(absl::StrCat(*shard.lower));
  out.mutable_upper()->add_column_text(absl::StrCat(shard.upper));
  out.set_epoch(shard.epoch);
  out.set_seq(shard.seq);
  const int first = shard.lower.value_or(0);
  if (shard.cursor > first) out.mutable_cursor()->add_column_text(absl::StrCat(shard.cursor));
  out.set_rows_done(shard.cursor - first);
  out.set_rows_changed(shard.cursor - first);
  out.set_rows_total(shard.upper - first);
  out.set_done(shard.done);
  return out;
}

std::vector<agent_pb::LedgerShard> FakeLedger::Plan(int step, const std::string& relation) {
  MutexLock lock(mutex_);
  planned_ = true;
  relation_ = relation;
  const bool has_some = std::any_of(shards_.begin(), shards_.end(),
                                    [&](const auto& entry) { return entry.second.step == step; });
  for (int i = 0; i < shards_per_step_ && !has_some && keys_ > 0; ++i) {
    Shard shard{.id = MakeUuid(), .step = step};
    if (i > 0) shard.lower = keys_ * i / shards_per_step_;
    shard.cursor = shard.lower.value_or(0);
    shard.upper = keys_ * (i + 1) / shards_per_step_;
    shards_.emplace(shard.id, shard);
  }
  std::vector<agent_pb::LedgerShard> out;
  for (const auto& [id, shard] : shards_) {
    if (shard.step == step) out.push_back(ToProto(shard));
  }
  return out;
}

std::optional<FakeLedger::Shard> FakeLedger::Claim(const std::string& id, int64_t epoch) {
  MutexLock lock(mutex_);
  const auto it = shards_.find(id);
  if (it == shards_.end() || it->second.epoch >= epoch) return std::nullopt;
  it->second.epoch = epoch;
  return it->second;
}

std::optional<FakeLedger::Shard> FakeLedger::Batch(const std::string& id, int64_t epoch,
                                                   int64_t seq, int rows) {
  MutexLock lock(mutex_);
  const auto it = shards_.find(id);
  if (it == shards_.end()) return std::nullopt;
  Shard& shard = it->second;
  if (shard.epoch != epoch || shard.seq != seq) return std::nullopt;
  const int next = std::min(shard.upper, shard.cursor + rows);
  for (int key = shard.cursor + 1; key <= next; ++key) ++counts_[{shard.step, key}];
  shard.cursor = next;
  ++shard.seq;
  shard.done = shard.cursor == shard.upper;
  return shard;
}

std::optional<FakeLedger::Shard> FakeLedger::Split(const std::string& id, int64_t epoch) {
  MutexLock lock(mutex_);
  const auto it = shards_.find(id);
  if (it == shards_.end()) return std::nullopt;
  Shard& shard = it->second;
  if (shard.epoch != epoch || shard.upper - shard.cursor < 2) return std::nullopt;
  const int middle = shard.cursor + (shard.upper - shard.cursor) / 2;
  const Shard child{.id = MakeUuid(),
                    .step = shard.step,
                    .lower = middle,
                    .upper = shard.upper,
                    .cursor = middle};
  shard.upper = middle;
  shards_.emplace(child.id, child);
  return child;
}

bool FakeLedger::Finalize(int64_t shards_known, bool finish) {
  MutexLock lock(mutex_);
  if (shards_known != static_cast<int64_t>(shards_.size())) return false;
  for (const auto& [id, shard] : shards_) {
    if (!shard.done) return false;
  }
  finished_ = finished_ || finish;
  return true;
}

std::vector<agent_pb::LedgerShard> FakeLedger::All() const {
  MutexLock lock(mutex_);
  std::vector<agent_pb::LedgerShard> out;
  for (const auto& [id, shard] : shards_) out.push_back(ToProto(shard));
  return out;
}

void FakeLedger::Forget() {
  MutexLock lock(mutex_);
  shards_.clear();
  counts_.clear();
  planned_ = finished_ = false;
}

bool FakeLedger::planned() const {
  MutexLock lock(mutex_);
  return planned_;
}

bool FakeLedger::finished() const {
  MutexLock lock(mutex_);
  return finished_;
}

int64_t FakeLedger::EpochOf(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = shards_.find(id);
  return it == shards_.end() ? -1 : it->second.epoch;
}

int FakeLedger::WrongKeys(int step) const {
  MutexLock lock(mutex_);
  int wrong = 0;
  for (int key = 1; key <= keys_; ++key) {
    const auto it = counts_.find({step, key});
    if (it == counts_.end() || it->second != 1) ++wrong;
  }
  return wrong;
}

int FakeLedger::keys_done() const {
  MutexLock lock(mutex_);
  return static_cast<int>(counts_.size());
}

}  // namespace dunlin::coordinator
