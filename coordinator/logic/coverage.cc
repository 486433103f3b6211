#include "coordinator/logic/coverage.h"

#include <map>

#include "absl/strings/str_cat.h"

namespace dunlin::coordinator {
namespace {

// Only for looking equal keys up: an order of text that means nothing.
std::string Handle(const KeyText& key) {
  std::string out;
  for (const std::string& column : key.Reveal()) absl::StrAppend(&out, column.size(), ":", column);
  return out;
}

std::string WalkChain(const std::string& relation, const std::vector<const Range*>& ranges) {
  std::map<std::string, const Range*> by_lower;
  const Range* first = nullptr;
  for (const Range* range : ranges) {
    if (!range->upper) return absl::StrCat("a shard of ", relation, " has no upper bound");
    if (!range->lower) {
      if (first != nullptr) return absl::StrCat("two shards of ", relation, " begin the key space");
      first = range;
    } else if (!by_lower.emplace(Handle(*range->lower), range).second) {
      return absl::StrCat("two shards of ", relation, " begin at the same key");
    }
  }
  if (first == nullptr) return absl::StrCat("no shard of ", relation, " begins the key space");
  size_t met = 1;
  for (const Range* at = first; met <= ranges.size(); ++met) {
    const auto next = by_lower.find(Handle(*at->upper));
    if (next == by_lower.end()) break;
    at = next->second;
    by_lower.erase(next);
  }
  if (met != ranges.size()) return absl::StrCat("the shards of ", relation, " leave a gap");
  return "";
}

}  // namespace

std::string FindCoverageGap(const std::vector<Range>& ranges) {
  std::map<std::string, std::vector<const Range*>> by_relation;
  for (const Range& range : ranges) {
    if (!range.relation.empty()) by_relation[range.relation].push_back(&range);
  }
  for (const auto& [relation, of_relation] : by_relation) {
    if (std::string gap = WalkChain(relation, of_relation); !gap.empty()) return gap;
  }
  return "";
}

}  // namespace dunlin::coordinator
