#pragma once

#include <string>
#include <utility>

namespace dunlin {

// A string that must not be logged, such as a connection string: no operator<<, `Reveal()` is
// greppable (I8).
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string value_;
};

}  // namespace dunlin
