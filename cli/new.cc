// `dunlin new`: a migration and its test from a template.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/template_files.h"
#include <nlohmann/json.hpp>

#include "common/migration/identifier.h"
#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/migration/test_file.h"
#include "common/status_macros.h"

namespace dunlin::cli {
namespace {

namespace fs = std::filesystem;

// What a kind's second table is called until somebody gives it its real name.
const std::map<std::string, std::string>& SecondTables() {
  static const auto* const names = new std::map<std::string, std::string>{
      {"backfill", ""}, {"copy", "_copy"},      {"counter", "_children"},
      {"delete", ""},   {"insert", "_details"}, {"normalise", "_kinds"},
      {"once", ""},
  };
  return *names;
}

struct NewFile {
  std::string path;
  std::string text;
};

std::string Cut(std::string name, size_t bytes) {
  if (name.size() > bytes) name.resize(bytes);
  return name;
}

std::string Sql(const std::vector<std::string>& parts) {
  return absl::StrJoin(parts, ".", [](std::string* out, const std::string& part) {
    absl::StrAppend(out, QuoteIdentifier(part));
  });
}

// An identifier with quotes of its own is quoted once more for YAML.
std::string YamlText(const std::string& sql) {
  if (!absl::StrContains(sql, '"')) return sql;
  return absl::StrCat("'", absl::StrReplaceAll(sql, {{"'", "''"}}), "'");
}

std::string Plain(const std::vector<std::string>& parts) {
  std::string text = absl::StrJoin(parts, ".");
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](char c) {
                              return !absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
                                     !absl::StrContains("_. ", absl::string_view(&c, 1));
                            }),
             text.end());
  return text;
}

std::vector<std::string> Qualified(std::vector<std::string> parts) {
  if (parts.size() == 1) parts.insert(parts.begin(), "public");
  return parts;
}

std::string Render(absl::string_view text, const std::map<std::string, std::string>& values) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, value] : values) all.emplace_back(absl::StrCat("{{", name, "}}"), value);
  return absl::StrReplaceAll(text, all);
}

// "<now>_<name>", with a version that no file of the folder has; a full name as it is.
absl::StatusOr<std::string> NameOf(const std::string& name, const std::string& folder) {
  if (ParseMigrationName(name).ok()) return name;
  absl::Time at = absl::Now();
  while (true) {
    const std::string version = absl::FormatTime("%Y%m%d%H%M%S", at, absl::UTCTimeZone());
    const std::string full = absl::StrCat(version, "_", name);
    if (const auto parsed = ParseMigrationName(full); !parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", Cut(name, 100),
                       "' is no name for a migration; expected lower-case letters, digits and "
                       "underscores, such as backfill_cancelled_on"));
    }
    std::error_code absent;
    bool taken = false;
    for (const auto& entry : fs::directory_iterator(folder, absent))
      taken = taken || absl::StartsWith(entry.path().filename().string(), version);
    if (!taken) return full;
    at += absl::Seconds(1);
  }
}

absl::StatusOr<std::map<std::string, std::string>> ValuesOf(const NewOptions& options,
                                                            const std::string& name) {
  const std::string given =
      options.table.empty() && options.kind == "once" ? "settings" : options.table;
  if (given.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("which table? Say --table TABLE, the one whose rows a migration of kind ",
                     options.kind, " goes over"));
  }
  const auto parsed = ParseIdentifier(given);
  if (!parsed.ok() || parsed->size() > 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("--table ", Cut(given, 100), " is not the name of a table: ",
                     parsed.ok() ? "expected name or schema.name" : parsed.status().message()));
  }
  const std::vector<std::string>& table = *parsed;
  std::vector<std::string> other = table;
  const std::string& suffix = SecondTables().at(options.kind);
  other.back() = Cut(other.back(), kMaxIdentifierBytes - suffix.size()) + suffix;
  constexpr absl::string_view kDualWrite = "_dual_write";
  std::vector<std::string> function = Qualified(other);
  function.back() =
      absl::StrCat(Cut(function.back(), kMaxIdentifierBytes - kDualWrite.size()), kDualWrite);
  const auto column = [](std::vector<std::string> of, const char* its) {
    of.emplace_back(its);
    return YamlText(Sql(of));
  };
  return std::map<std::string, std::string>{
      {"NAME", name},
      {"FILE", absl::StrCat((fs::path(options.folder) / name).string(), ".yaml")},
      {"TABLE", Sql(table)},
      {"TABLE_SQL", Sql(Qualified(table))},
      {"TABLE_YAML", YamlText(Sql(table))},
      {"TABLE_PLAIN", Plain(table)},
      {"OTHER", Sql(other)},
      {"OTHER_SQL", Sql(Qualified(other))},
      {"OTHER_YAML", YamlText(Sql(other))},
      {"OTHER_PLAIN", Plain(other)},
      {"FUNCTION_SQL", Sql(function)},
      {"TRIGGER_SQL", QuoteIdentifier(function.back())},
      {"IGNORE", absl::StrCat("[", column(table, "kind_id"), ", ", column(other, "id"), "]")},
      {"CREATE_SCHEMA", table.size() == 1 || table[0] == "public"
                            ? ""
                            : absl::StrCat("CREATE SCHEMA ", QuoteIdentifier(table[0]), ";\n  ")},
  };
}

// Whether an odd name has broken a template: then nothing is written.
absl::Status CheckText(const NewFile& file) {
  if (absl::EndsWith(file.path, ".test.yaml")) {
    const auto parsed = ParseTestFile(file.path, file.text);
    if (!parsed.problems.empty())
      return absl::InvalidArgumentError(parsed.problems.front().ToString());
  } else if (absl::EndsWith(file.path, ".yaml")) {
    return ParseMigrationOrError(file.path, file.text).status();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<NewFile>> MakeFiles(const NewOptions& options) {
  if (!SecondTables().contains(options.kind)) {
    std::vector<std::string> kinds;
    for (const auto& [kind, suffix] : SecondTables()) kinds.push_back(kind);
    return absl::InvalidArgumentError(absl::StrCat(
        "--kind ", options.kind, " is unknown; expected one of ", absl::StrJoin(kinds, ", ")));
  }
  DUNLIN_ASSIGN_OR_RETURN(const std::string name, NameOf(options.name, options.folder));
  DUNLIN_ASSIGN_OR_RETURN(const auto values, ValuesOf(options, name));
  std::vector<NewFile> files;
  for (const templates::EmbeddedFile& one : templates::kSchemaFiles) {
    absl::string_view rest = one.name;
    if (!absl::ConsumePrefix(&rest, absl::StrCat(options.kind, "."))) continue;
    if (!options.with_test && rest == "test.yaml") continue;
    NewFile file{.path = (fs::path(options.folder) / absl::StrCat(name, ".", rest)).string(),
                 .text = Render(one.text, values)};
    if (const absl::Status good = CheckText(file); !good.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("no file can be made for the table ", options.table, " (", good.message(),
                       "); begin with a plainer name and put the real one in"));
    }
    files.push_back(std::move(file));
  }
  return files;
}

// All or none; never over a file that is there.
absl::Status WriteFiles(const std::string& folder, const std::vector<NewFile>& files) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot make the folder ", folder, ": ", error.message()));
  }
  std::vector<std::string> written;
  absl::Status status;
  for (const NewFile& file : files) {
    const int out = open(file.path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (out < 0 && errno == EEXIST) {
      status = absl::AlreadyExistsError(
          absl::StrCat(file.path, " exists already and is left as it is; choose another name"));
    } else if (out < 0) {
      status = absl::InvalidArgumentError(
          absl::StrCat("cannot write ", file.path, ": ", std::strerror(errno)));
    }
    if (out < 0) break;
    written.push_back(file.path);
    const bool whole =
        write(out, file.text.data(), file.text.size()) == static_cast<ssize_t>(file.text.size());
    if (close(out) != 0 || !whole) {
      status = absl::InternalError(absl::StrCat("cannot write ", file.path, "; is the disk full?"));
      break;
    }
  }
  if (status.ok()) return status;
  for (const std::string& path : written) fs::remove(path, error);
  return status;
}

}  // namespace

int RunNew(const GlobalOptions& global, const NewOptions& options) {
  const auto files = MakeFiles(options);
  if (!files.ok()) return Complain(files.status());
  const absl::Status written = WriteFiles(options.folder, *files);
  if (!written.ok()) return Complain(written);
  std::vector<std::string> paths;
  for (const NewFile& file : *files) paths.push_back(file.path);
  if (global.json()) {
    std::cout << nlohmann::json{{"files", paths}}.dump() << std::endl;
    return kDone;
  }
  for (const std::string& path : paths) std::cout << path << "\n";
  const auto main = std::find_if(paths.begin(), paths.end(), [](const std::string& path) {
    return absl::EndsWith(path, ".yaml") && !absl::EndsWith(path, ".test.yaml");
  });
  std::cout << "\nPut your columns in; the comments say what goes where. Then:\n"
            << (options.with_test ? absl::StrCat("  dunlin test ", *main, "\n") : "")
            << "  dunlin check " << *main << " --database DSN" << std::endl;
  return kDone;
}

}  // namespace dunlin::cli
