#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dunlin {

// A key of one or more columns as PostgreSQL prints it under the pinned session settings.
// Opaque: equality only. There is no `<`, because only the target orders keys ('10' < '9' as text;
// trap 1), and no operator<<, because keys are row values (I8).
class KeyText {
 public:
  KeyText() = default;
  explicit KeyText(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  // Greppable: whoever reveals a key answers for where it goes.
  const std::vector<std::string>& Reveal() const { return columns_; }
  bool operator==(const KeyText&) const = default;

 private:
  std::vector<std::string> columns_;
};

// Absent = the beginning of the key space (a lower bound, a cursor before the first batch).
using OptionalKey = std::optional<KeyText>;

}  // namespace dunlin
