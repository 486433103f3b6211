// For fuzz targets: what they assert, and how they cut their input into parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/string_view.h"

// Ends the process, so that libFuzzer keeps the input. `what` says which promise is broken.
#define FUZZ_REQUIRE(condition, what)                                                 \
  do {                                                                                \
    if (!(condition)) ::dunlin::fuzz::Broken(__FILE__, __LINE__, #condition, (what)); \
  } while (false)

namespace dunlin::fuzz {

[[noreturn]] inline void Broken(const char* file, int line, const char* condition,
                                const std::string& what) {
  std::cerr << file << ":" << line << ": " << condition << " does not hold: " << what << std::endl;
  std::abort();
}

// Takes parts off the front of an input; what is not there is empty or 0.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  unsigned Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  // Up to the next newline, so that inputs stay readable.
  std::string Line() {
    const size_t end = rest_.find('\n');
    std::string line(rest_.substr(0, end));
    rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
    return line;
  }
  std::string Rest() { return std::string(rest_); }
  bool empty() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
};

}  // namespace dunlin::fuzz
