// The example `debian-files` on real paths: the lists of the packages that are installed here, so
// that no network is needed.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/testlib/pg_server.h"

namespace dunlin::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr int kRows = 200'000;
constexpr int64_t kAgentMemoryKib = 40 * 1024;  // I10
constexpr const char* kName = "20261101120000_files_basename";

std::string Example(const std::string& file) {
  return absl::StrCat(DUNLIN_EXAMPLES_DIR, "/debian-files/", file);
}

// Path to packages, without the leading slash, as in Debian's own index. Directories belong to many
// packages, which makes (path, package) a key of two columns that both matter.
std::map<std::string, std::vector<std::string>> InstalledFiles() {
  std::map<std::string, std::vector<std::string>> files;
  for (const auto& entry : std::filesystem::directory_iterator("/var/lib/dpkg/info")) {
    if (entry.path().extension() != ".list") continue;
    std::string package = entry.path().stem().string();
    package = package.substr(0, package.find(':'));  // libc6:amd64
    std::ifstream list(entry.path());
    for (std::string line; std::getline(list, line);) {
      if (line.size() < 2 || line[0] != '/' || line == "/.") continue;
      std::vector<std::string>& packages = files[line.substr(1)];
      // The same package of two architectures is one.
      if (packages.empty() || packages.back() != package) packages.push_back(package);
    }
  }
  for (auto& [path, packages] : files) {
    std::sort(packages.begin(), packages.end());
    packages.erase(std::unique(packages.begin(), packages.end()), packages.end());
  }
  return files;
}

// Lines as of a Contents list, for at least `rows` rows. Behind every prefix the same paths come
// again. Returns the number of rows, or 0 when no package is installed.
int64_t WriteContents(const std::string& output, int64_t rows) {
  const auto files = InstalledFiles();
  std::ofstream out(output);
  // The head of an old list, and a path that is not UTF-8: both are skipped.
  out << "FILE                LOCATION\nusr/share/caf\xe9 misc/latin1\n";
  int64_t written = 0;
  std::vector<std::string> lines;
  for (int copy = 0; !files.empty() && written < rows; ++copy) {
    for (const auto& [path, packages] : files) {
      std::string line = absl::StrCat("srv/Root-", copy, "/", path, "      ");
      for (size_t i = 0; i < packages.size(); ++i)
        absl::StrAppend(&line, i > 0 ? "," : "", "misc/", packages[i]);
      lines.push_back(std::move(line));
      written += static_cast<int64_t>(packages.size());
    }
  }
  // In the order of the key the heap would make every plan look good.
  std::shuffle(lines.begin(), lines.end(), std::mt19937(1));
  for (const std::string& line : lines) out << line << "\n";
  return written;
}

// The most that a process ever had resident; the kernel keeps it.
int64_t PeakKib(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t kib = -1;
    if (words >> name >> kib && name == "VmHWM:") return kib;
  }
  return -1;
}

void RunExample(const std::string& options) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "dunlin_files_", getpid());
  std::filesystem::create_directories(folder);
  const std::string contents = folder + "/Contents";
  ASSERT_GE(WriteContents(contents, kRows + kRows / 10), kRows) << "no package is installed here";

  PgServer server;
  server.CreateDatabase("debian", options);
  server.CreateDatabase("store");
  const std::vector<std::string> load = {Example("load"), "--rows", absl::StrCat(kRows),
                                         "--input",       contents, server.Dsn("debian")};
  const RunResult loaded = RunToEnd(load);
  ASSERT_EQ(loaded.exit_code, 0) << loaded.output;
  EXPECT_THAT(loaded.output,
              ContainsRegex("[1-9][0-9]* odd and [1-9][0-9]* not UTF-8 were skipped"));
  const RunResult again = RunToEnd(load);
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr(" 0 new"));
  std::filesystem::remove_all(folder);
  ASSERT_EQ(server.Int("debian", "SELECT count(*) FROM files"), kRows);

  const std::string address = absl::StrCat("127.0.0.1:", FreePort());
  Process coordinator(
      {Binary("dunlin-coordinator"), "--store", server.Dsn("store"), "--listen", address});
  std::vector<std::unique_ptr<Process>> agents;
  for (int i = 0; i < 2; ++i) {
    agents.push_back(std::make_unique<Process>(
        std::vector<std::string>{Binary("dunlin-agent"), "--coordinator", address, "--target",
                                 absl::StrCat("debian=", server.Dsn("debian"))}));
  }
  const auto dunlin = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    arguments.insert(arguments.end(), {"--coordinator", address});
    return RunToEnd(arguments);
  };
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return dunlin({"list"}).exit_code == 0; }))
      << coordinator.Output();
  const RunResult started = dunlin({"start", Example(absl::StrCat(kName, ".yaml"))});
  ASSERT_EQ(started.exit_code, 0) << started.output;
  const auto state = [&] {
    const RunResult status = dunlin({"status", kName, "-o", "json"});
    const auto json = nlohmann::json::parse(status.output, nullptr, false);
    return json.is_object() ? json.value("state", "") : status.output;
  };
  EXPECT_TRUE(Eventually(absl::Minutes(2), [&] { return state() == "FINISHED"; }))
      << dunlin({"show", kName}).output;

  EXPECT_EQ(server.Int("debian", "SELECT count(*) FROM files WHERE n <> 1"), 0);
  EXPECT_EQ(server.Int("debian",
                       "SELECT count(*) FROM files WHERE basename IS DISTINCT FROM "
                       "substring(path FROM '[^/]*$')"),
            0);
  EXPECT_EQ(server.Int("debian", "SELECT sum(rows_changed)::bigint FROM dunlin.shard"), kRows);
  // script/release_check: of a release, whose memory is the agents' own and not a sanitizer's.
  for (const auto& agent : agents) {
    if (std::getenv("DUNLIN_CHECK_MEMORY") == nullptr) break;
    const int64_t peak = PeakKib(agent->pid());
    EXPECT_GT(peak, 0) << agent->Output();
    EXPECT_LT(peak, kAgentMemoryKib) << agent->Output();
  }
}

TEST(DebianFiles, I1_I10_EveryRowOnceAndTheAgentsStaySmallInCollationC) {
  RunExample("TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'");
}

TEST(DebianFiles, I1_I10_EveryRowOnceAndTheAgentsStaySmallInAnIcuCollation) {
  RunExample("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'");
}

}  // namespace
}  // namespace dunlin::testing
