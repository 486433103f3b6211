// A case is a folder: create.sql, migration.yaml, expect.sql. The migration runs by `dunlin local`;
// expect.sql must answer no row.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>

#include "tests/testlib/pg_server.h"

namespace dunlin::testing {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Cases, EachMigrationDoesWhatItsExpectationSays) {
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(DUNLIN_CASES_DIR)) {
    if (entry.is_directory()) cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  ASSERT_GE(cases.size(), 5u);
  PgServer server;
  for (const auto& one : cases) {
    SCOPED_TRACE(one.filename().string());
    const std::string database = "case_" + one.filename().string();
    server.CreateDatabase(database);
    server.Exec(database, ReadAll(one / "create.sql"));
    const std::string file = ::testing::TempDir() + "dunlin_case_" + std::to_string(getpid()) +
                             "/20261123120000_case.yaml";
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::filesystem::copy_file(one / "migration.yaml", file,
                               std::filesystem::copy_options::overwrite_existing);
    const RunResult run =
        RunToEnd({Binary("dunlin"), "local", file, "--database", server.Dsn(database)});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    EXPECT_EQ(server.Text(database, ReadAll(one / "expect.sql")), "");
  }
}

}  // namespace
}  // namespace dunlin::testing
