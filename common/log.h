// One event, one line, key=value, the constant event name first:
//   LOG(INFO) << Event("lease_granted").Kv("run", run_id).Kv("epoch", epoch);
// INFO = a state change an operator asks about; WARNING = heals by itself; ERROR = someone must
// look. Nothing per batch above VLOG(1). Never a key, a row value or a connection string (I8).
#pragma once

#include <ostream>
#include <sstream>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <glog/logging.h>

namespace dunlin {

class Event {
 public:
  explicit Event(absl::string_view name) { out_ << name; }
  template <typename T>
  Event& Kv(absl::string_view key, const T& value) {
    std::ostringstream text;
    text << value;
    Append(key, text.str());
    return *this;
  }
  friend std::ostream& operator<<(std::ostream& out, const Event& event) {
    return out << event.out_.str();
  }

 private:
  // Quotes what holds spaces, quotes or control characters, so that a line stays one line.
  void Append(absl::string_view key, const std::string& value);
  std::ostringstream out_;
};

// How often a trouble that lasts is logged again.
inline constexpr absl::Duration kLogEvery = absl::Minutes(1);

// Sets glog up to write to stderr; call once in main. `verbosity` is glog's --v. Quiet shows only
// errors (the CLI).
void InitLogging(const char* program, int verbosity, bool quiet);

}  // namespace dunlin
