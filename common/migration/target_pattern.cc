#include "common/migration/target_pattern.h"

#include <algorithm>

namespace dunlin {

bool IsTargetPattern(absl::string_view entry) {
  return entry.find_first_of("*%") != absl::string_view::npos;
}

bool TargetMatches(absl::string_view entry, absl::string_view name) {
  // The last wildcard is the only one worth going back to.
  size_t e = 0, n = 0, wildcard = absl::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (e < entry.size() && (entry[e] == '*' || entry[e] == '%')) {
      wildcard = e++;
      resume = n;
    } else if (e < entry.size() && entry[e] == name[n]) {
      ++e;
      ++n;
    } else if (wildcard != absl::string_view::npos) {
      e = wildcard + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (e < entry.size() && (entry[e] == '*' || entry[e] == '%')) ++e;
  return e == entry.size();
}

std::vector<std::string> ExpandTargets(const std::vector<std::string>& entries,
                                       const std::vector<std::string>& known) {
  std::vector<std::string> targets;
  const auto add = [&](const std::string& name) {
    if (std::find(targets.begin(), targets.end(), name) == targets.end()) targets.push_back(name);
  };
  for (const std::string& entry : entries) {
    if (!IsTargetPattern(entry)) add(entry);
    for (const std::string& name : known) {
      if (IsTargetPattern(entry) && TargetMatches(entry, name)) add(name);
    }
  }
  return targets;
}

}  // namespace dunlin
