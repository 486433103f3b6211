#include "common/dsn_source.h"

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace dunlin {

absl::StatusOr<Secret> ReadDsn(const std::string& text) {
  if (text.empty() || text[0] != '@') return Secret(text);
  const std::string path = text.substr(1);
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read a connection string from the file ", path));
  }
  line = std::string(absl::StripAsciiWhitespace(line));
  if (line.empty())
    return absl::InvalidArgumentError(
        absl::StrCat("the first line of ", path, " is empty; expected a connection string"));
  return Secret(line);
}

}  // namespace dunlin
