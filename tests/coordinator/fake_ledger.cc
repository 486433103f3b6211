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
  out.set_relation(is_.relation);
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
  is_.planned = true;
  is_.relation = relation;
  const bool has_some = std::any_of(is_.shards.begin(), is_.shards.end(),
                                    [&](const auto& entry) { return entry.second.step == step; });
  for (int i = 0; i < shards_per_step_ && !has_some && keys_ > 0; ++i) {
    Shard shard{.id = MakeUuid(), .step = step};
    if (i > 0) shard.lower = keys_ * i / shards_per_step_;
    shard.cursor = shard.lower.value_or(0);
    shard.upper = keys_ * (i + 1) / shards_per_step_;
    is_.shards.emplace(shard.id, shard);
  }
  std::vector<agent_pb::LedgerShard> out;
  for (const auto& [id, shard] : is_.shards) {
    if (shard.step == step) out.push_back(ToProto(shard));
  }
  return out;
}

std::optional<FakeLedger::Shard> FakeLedger::Claim(const std::string& id, int64_t epoch) {
  MutexLock lock(mutex_);
  const auto it = is_.shards.find(id);
  if (it == is_.shards.end() || it->second.epoch >= epoch) return std::nullopt;
  it->second.epoch = epoch;
  return it->second;
}

std::optional<FakeLedger::Shard> FakeLedger::Batch(const std::string& id, int64_t epoch,
                                                   int64_t seq, int rows) {
  MutexLock lock(mutex_);
  const auto it = is_.shards.find(id);
  if (it == is_.shards.end()) return std::nullopt;
  Shard& shard = it->second;
  if (shard.epoch != epoch || shard.seq != seq) return std::nullopt;
  const int next = std::min(shard.upper, shard.cursor + rows);
  for (int key = shard.cursor + 1; key <= next; ++key) ++is_.counts[{shard.step, key}];
  shard.cursor = next;
  ++shard.seq;
  shard.done = shard.cursor == shard.upper;
  return shard;
}

std::optional<FakeLedger::Shard> FakeLedger::Split(const std::string& id, int64_t epoch) {
  MutexLock lock(mutex_);
  const auto it = is_.shards.find(id);
  if (it == is_.shards.end()) return std::nullopt;
  Shard& shard = it->second;
  if (shard.epoch != epoch || shard.upper - shard.cursor < 2) return std::nullopt;
  const int middle = shard.cursor + (shard.upper - shard.cursor) / 2;
  const Shard child{.id = MakeUuid(),
                    .step = shard.step,
                    .lower = middle,
                    .upper = shard.upper,
                    .cursor = middle};
  shard.upper = middle;
  is_.shards.emplace(child.id, child);
  return child;
}

bool FakeLedger::Finalize(int64_t shards_known, bool finish) {
  MutexLock lock(mutex_);
  if (shards_known != static_cast<int64_t>(is_.shards.size())) return false;
  for (const auto& [id, shard] : is_.shards) {
    if (!shard.done) return false;
  }
  is_.finished = is_.finished || finish;
  return true;
}

std::vector<agent_pb::LedgerShard> FakeLedger::All() const {
  MutexLock lock(mutex_);
  std::vector<agent_pb::LedgerShard> out;
  for (const auto& [id, shard] : is_.shards) out.push_back(ToProto(shard));
  return out;
}

void FakeLedger::Forget() {
  MutexLock lock(mutex_);
  is_ = {};
}

FakeLedger::State FakeLedger::Copy() const {
  MutexLock lock(mutex_);
  return is_;
}

void FakeLedger::FailOverTo(const State& state) {
  MutexLock lock(mutex_);
  is_ = state;
}

bool FakeLedger::planned() const {
  MutexLock lock(mutex_);
  return is_.planned;
}

bool FakeLedger::finished() const {
  MutexLock lock(mutex_);
  return is_.finished;
}

int64_t FakeLedger::EpochOf(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = is_.shards.find(id);
  return it == is_.shards.end() ? -1 : it->second.epoch;
}

int FakeLedger::WrongKeys(int step) const {
  MutexLock lock(mutex_);
  int wrong = 0;
  for (int key = 1; key <= keys_; ++key) {
    const auto it = is_.counts.find({step, key});
    if (it == is_.counts.end() || it->second != 1) ++wrong;
  }
  return wrong;
}

int FakeLedger::keys_done() const {
  MutexLock lock(mutex_);
  return static_cast<int>(is_.counts.size());
}

}  // namespace dunlin::coordinator
