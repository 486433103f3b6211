#include "cli/migration_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr absl::string_view kExample =
    "expected a time such as 22:00, '2026-11-23 22:00', 2026-11-23T22:00:00Z or +2h";

std::string VersionOf(const MigrationFile& file) {
  return file.name.substr(0, file.name.find('_'));
}

bool IsTest(absl::string_view path) {
  return absl::EndsWith(path, ".test.yaml") || absl::EndsWith(path, ".test.yml");
}

bool HasTest(absl::string_view path) {
  if (!absl::ConsumeSuffix(&path, ".yaml")) absl::ConsumeSuffix(&path, ".yml");
  std::error_code ignored;
  return std::filesystem::exists(absl::StrCat(path, ".test.yaml"), ignored) ||
         std::filesystem::exists(absl::StrCat(path, ".test.yml"), ignored);
}

// The version by which a file begins in order: that of what it stands in for.
std::string PlaceOf(const std::vector<MigrationFile>& files, const MigrationFile& file) {
  const MigrationFile* at = &file;
  for (size_t hops = 0; hops <= files.size() && !at->definition.supersedes.empty(); ++hops) {
    const auto old = std::find_if(files.begin(), files.end(), [&](const MigrationFile& other) {
      return other.name == at->definition.supersedes;
    });
    const std::string& name = at->definition.supersedes;
    if (old == files.end()) return name.substr(0, name.find('_'));
    at = &*old;
  }
  return VersionOf(*at);
}

}  // namespace

absl::StatusOr<std::vector<MigrationFile>> ReadFiles(const std::vector<std::string>& paths) {
  std::vector<MigrationFile> files;
  std::string problems;
  for (const std::string& path : paths) {
    const absl::StatusOr<MigrationName> name = MigrationNameOfPath(path);
    if (!name.ok()) {
      absl::StrAppend(&problems, path, ": ", name.status().message(), "\n");
      continue;
    }
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
      absl::StrAppend(&problems, path, ": cannot be read; is the path right?\n");
      continue;
    }
    MigrationFile file{.name = name->full(), .path = path, .has_test = HasTest(path)};
    file.bytes.assign(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    ParseResult parsed = ParseMigration(path, file.bytes);
    for (const FileProblem& problem : parsed.problems)
      absl::StrAppend(&problems, problem.ToString(), "\n");
    file.definition = std::move(parsed.definition);
    files.push_back(std::move(file));
  }
  if (!problems.empty()) {
    problems.pop_back();
    return absl::InvalidArgumentError(problems);
  }
  return files;
}

absl::StatusOr<std::vector<MigrationFile>> ReadFolder(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string path = it->path().string();
    const bool yaml = absl::EndsWith(path, ".yaml") || absl::EndsWith(path, ".yml");
    if (yaml && !IsTest(path)) paths.push_back(path);
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("folder ", folder, " cannot be read (", error.message(),
                     "); say where the migrations are: dunlin up DIR"));
  }
  DUNLIN_ASSIGN_OR_RETURN(std::vector<MigrationFile> files, ReadFiles(paths));
  std::sort(files.begin(), files.end(),
            [](const MigrationFile& a, const MigrationFile& b) { return a.name < b.name; });
  for (size_t i = 1; i < files.size(); ++i) {
    if (VersionOf(files[i]) != VersionOf(files[i - 1])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(files[i - 1].path, " and ", files[i].path,
                     " have the same version; give one of them another"));
  }
  return files;
}

const MigrationFile* FindStandIn(const std::vector<MigrationFile>& files, const std::string& name) {
  for (const MigrationFile& file : files) {
    if (file.definition.supersedes == name) return &file;
  }
  return nullptr;
}

std::string FindCircle(const std::vector<MigrationFile>& files) {
  struct Place {
    std::string version, name;
    bool replaced;
    auto operator<=>(const Place& other) const {
      return std::tie(version, name) <=> std::tie(other.version, other.name);
    }
  };
  std::vector<Place> places;
  for (const MigrationFile& file : files) {
    places.push_back({.version = PlaceOf(files, file),
                      .name = file.name,
                      .replaced = FindStandIn(files, file.name) != nullptr});
  }
  std::map<std::string, std::vector<std::string>> waits;
  for (size_t i = 0; i < files.size(); ++i) {
    std::vector<std::string>& before = waits[files[i].name];
    for (const std::string& name : files[i].definition.depends_on) {
      const MigrationFile* stand_in = FindStandIn(files, name);
      before.push_back(stand_in == nullptr ? name : stand_in->name);
    }
    for (const Place& other : places) {
      if (!files[i].definition.has_depends_on && !other.replaced && other < places[i])
        before.push_back(other.name);
    }
  }
  std::map<std::string, int> visited;  // 1 = on the way, 2 = without a circle
  std::vector<std::string> way;
  std::string circle;
  const std::function<bool(const std::string&)> visit = [&](const std::string& name) {
    if (visited[name] == 2) return false;
    way.push_back(name);
    if (visited[name] == 1) return true;
    visited[name] = 1;
    for (const std::string& next : waits[name]) {
      if (visit(next)) return true;
    }
    way.pop_back();
    visited[name] = 2;
    return false;
  };
  for (const MigrationFile& file : files) {
    if (!visit(file.name)) continue;
    const auto begin = std::find(way.begin(), way.end(), way.back());
    return absl::StrCat(
        "these wait for each other: ", absl::StrJoin(begin, way.end(), " waits for "),
        ". A file without `depends_on` waits for all earlier versions; write `depends_on: [...]` "
        "with what it really needs");
  }
  return "";
}

absl::StatusOr<absl::Time> ParseStartTime(absl::string_view text, absl::Time now,
                                          absl::TimeZone zone) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "+")) {
    DUNLIN_ASSIGN_OR_RETURN(const absl::Duration after, ParseDuration(rest));
    return now + after;
  }
  std::string error;
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  for (const char* format : {"%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"}) {
    if (absl::ParseTime(format, text, zone, &time, &error)) return time;
  }
  const std::string today = absl::FormatTime("%Y-%m-%d ", now, zone);
  if (!absl::ParseTime("%Y-%m-%d %H:%M", absl::StrCat(today, text), zone, &time, &error))
    return absl::InvalidArgumentError(absl::StrCat("--at '", text, "' is no time; ", kExample));
  if (time > now) return time;
  // The same time of day tomorrow, also over a change to or from summer time.
  const absl::CivilSecond civil = absl::ToCivilSecond(time, zone);
  return absl::FromCivil(absl::CivilSecond(civil.year(), civil.month(), civil.day() + 1,
                                           civil.hour(), civil.minute(), civil.second()),
                         zone);
}

}  // namespace dunlin::cli
