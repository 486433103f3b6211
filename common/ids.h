// Identifiers and counters that must not be mixed up: each is a type of its own, made explicitly.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

namespace dunlin {

template <typename Tag>
class StrongString {
 public:
  StrongString() = default;
  explicit StrongString(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const StrongString&) const = default;
  bool operator==(const StrongString&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const StrongString& id) {
    return out << id.value_;
  }
  template <typename H>
  friend H AbslHashValue(H h, const StrongString& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  std::string value_;
};

template <typename Tag>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(int64_t value) : value_(value) {}
  constexpr int64_t value() const { return value_; }
  auto operator<=>(const StrongInt&) const = default;
  bool operator==(const StrongInt&) const = default;
  friend std::ostream& operator<<(std::ostream& out, StrongInt id) { return out << id.value_; }

 private:
  int64_t value_ = 0;
};

// UUIDs in PostgreSQL's canonical text form.
using RunId = StrongString<struct RunIdTag>;
using ShardId = StrongString<struct ShardIdTag>;
using TaskId = StrongString<struct TaskIdTag>;
using LeaseId = StrongString<struct LeaseIdTag>;
using AgentId = StrongString<struct AgentIdTag>;

// A shard's fencing token, or a run's task epoch; raised at every grant (I3).
using Epoch = StrongInt<struct EpochTag>;
// Position in a run's log of changes.
using Revision = StrongInt<struct RevisionTag>;

// A random (version 4) UUID. Thread safety: any thread.
std::string MakeUuid();

}  // namespace dunlin
