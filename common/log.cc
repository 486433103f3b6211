#include "common/log.h"

#include "absl/strings/escaping.h"

namespace dunlin {

void Event::Append(absl::string_view key, const std::string& value) {
  out_ << ' ' << key << '=';
  const bool plain = !value.empty() && value.find_first_of(" \"\\\n\r\t=") == std::string::npos;
  if (plain) {
    out_ << value;
  } else {
    out_ << '"' << absl::Utf8SafeCEscape(value) << '"';
  }
}

void InitLogging(const char* program, int verbosity, bool quiet) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = quiet ? google::GLOG_ERROR : google::GLOG_INFO;
  FLAGS_v = verbosity;
  google::InitGoogleLogging(program);
}

}  // namespace dunlin
