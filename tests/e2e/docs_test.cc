// What the docs tell people to type is there: each command, each of its flags, each RPC.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>

#include "tests/testlib/process.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;

std::string Read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::filesystem::path> FilesUnder(const std::string& folder,
                                              const std::string& extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(absl::StrCat(DUNLIN_SOURCE_DIR "/", folder))) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  return files;
}

std::vector<std::filesystem::path> Docs() {
  std::vector<std::filesystem::path> docs = {DUNLIN_SOURCE_DIR "/README.md"};
  for (const char* folder : {"docs", "examples", "k8s"}) {
    const auto files = FilesUnder(folder, ".md");
    docs.insert(docs.end(), files.begin(), files.end());
  }
  return docs;
}

// The code of a page, between ticks or indented, as one line each.
std::vector<std::string> CodeOf(const std::string& page) {
  std::vector<std::string> code;
  bool fenced = false;
  for (const absl::string_view line : absl::StrSplit(page, '\n')) {
    if (absl::StartsWith(line, "```")) {
      fenced = !fenced;
    } else if (fenced || absl::StartsWith(line, "    ")) {
      code.emplace_back(line);
    } else {
      const std::vector<std::string> parts = absl::StrSplit(line, '`');
      for (size_t i = 1; i < parts.size(); i += 2) code.push_back(parts[i]);
    }
  }
  return code;
}

// Of --help: what a binary, or one of its commands, knows.
class Help {
 public:
  // {"dunlin", "quarantine", "list"}
  const std::string& Of(const std::vector<std::string>& command) {
    const auto [known, anew] = texts_.try_emplace(absl::StrJoin(command, " "));
    if (anew) {
      std::vector<std::string> arguments = command;
      arguments[0] = Binary(command[0]);
      arguments.push_back("--help");
      known->second = RunToEnd(arguments).output;
    }
    return known->second;
  }
  bool HasCommand(const std::vector<std::string>& command, const std::string& name) {
    const std::string& help = Of(command);
    const size_t list = help.find("\nSubcommands:\n");
    return list != help.npos && help.find(absl::StrCat("\n  ", name, " "), list) != help.npos;
  }
  bool HasFlag(const std::vector<std::string>& command, const std::string& flag) {
    const std::regex listed(absl::StrCat("(^|[ ,\n])", flag, "($|[ ,\n:])"));
    // Options of all commands stand before or after them.
    return std::regex_search(Of(command), listed) || std::regex_search(Of({command[0]}), listed);
  }

 private:
  std::map<std::string, std::string> texts_;
};

TEST(DocsTest, EachCommandAndItsFlagsAreThere) {
  Help help;
  // Where a line, a command behind another, or a sentence's advice begins.
  const std::regex called(
      "(^ *(?:[$] )?|&& |: )(dunlin|dunlin-agent|dunlin-coordinator) +([^#|&;>),]+)");
  int commands = 0;
  for (const auto& path : Docs()) {
    for (const std::string& code : CodeOf(Read(path))) {
      for (std::sregex_iterator at(code.begin(), code.end(), called), end; at != end; ++at) {
        const std::vector<std::string> words =
            absl::StrSplit((*at)[3].str(), ' ', absl::SkipWhitespace());
        std::vector<std::string> command = {(*at)[2].str()};
        for (const std::string& word : words) {
          if (!help.HasCommand(command, word)) break;
          command.push_back(word);
        }
        const bool known = command.size() > 1 || command[0] != "dunlin" || words[0][0] == '-';
        EXPECT_TRUE(known) << path << ": " << code;
        for (const std::string& word : words) {
          const std::string flag = word.substr(word.find_first_not_of("["));
          if (!absl::StartsWith(flag, "--")) continue;
          EXPECT_TRUE(help.HasFlag(command, flag.substr(0, flag.find_first_of("=].,"))))
              << path << ": " << code;
        }
        ++commands;
      }
    }
  }
  EXPECT_GT(commands, 100) << "the docs are read";
}

TEST(DocsTest, EachRpcIsThere) {
  std::set<std::string> rpcs;
  for (const auto& path : FilesUnder("proto", ".proto")) {
    std::string service;
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(Read(path), '\n'))) {
      std::smatch found;
      if (std::regex_search(line, found, std::regex("^service (\\w+)"))) service = found[1];
      if (std::regex_search(line, found, std::regex("^  rpc (\\w+)\\(")))
        rpcs.insert(absl::StrCat(service, ".", found[1].str()));
    }
  }
  int named = 0;
  const std::regex rpc("\\b([A-Z]\\w+Service\\.[A-Z]\\w+)\\b");
  for (const auto& path : Docs()) {
    const std::string page = Read(path);
    for (std::sregex_iterator at(page.begin(), page.end(), rpc), end; at != end; ++at, ++named)
      EXPECT_TRUE(rpcs.contains((*at)[1])) << path << ": " << (*at)[1];
  }
  EXPECT_GT(named, 0) << "the docs are read";
}

}  // namespace
}  // namespace dunlin::testing
