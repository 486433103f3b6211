#include "common/pg/call_label.h"

#ifdef DUNLIN_FAULTS

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace dunlin::pg {
namespace {

// The sessions of all shards are alike.
absl::string_view KindOf(absl::string_view application_name) {
  return absl::StartsWith(application_name, "dunlin/2") ? "dunlin/shard" : application_name;
}

std::string FirstWords(absl::string_view sql) {
  constexpr size_t kWords = 4;
  std::vector<std::string> words =
      absl::StrSplit(sql, absl::MaxSplits(absl::ByAnyChar(" \n"), kWords), absl::SkipEmpty());
  words.resize(std::min(words.size(), kWords));
  return absl::StrJoin(words, " ");
}

}  // namespace

std::string CallLabel(absl::string_view application_name, const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) {
    const Statement& statement = command.statement;
    std::string name = statement.name.empty() ? FirstWords(statement.sql) : statement.name;
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  }
  return absl::StrCat(KindOf(application_name), " ", absl::StrJoin(names, "+"));
}

std::string CallLabel(absl::string_view application_name, absl::string_view sql) {
  return absl::StrCat(KindOf(application_name), " ", FirstWords(sql));
}

}  // namespace dunlin::pg

#endif  // DUNLIN_FAULTS
