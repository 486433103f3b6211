#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/testlib/pg_server.h"

namespace dunlin::testing {

// A server with a database `app`, and a folder of the test's own for files.
class CommandTest : public ::testing::Test {
 protected:
  // `settings`: of the server.
  explicit CommandTest(std::vector<std::string> settings = {}) : server_(std::move(settings)) {}

  void SetUp() override {
    server_.CreateDatabase("app");
    folder_ = absl::StrCat(::testing::TempDir(), "dunlin_command_", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Writes `text` into the folder; its path.
  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = absl::StrCat(folder_, "/", name);
    std::ofstream(path) << text;
    return path;
  }
  RunResult Dunlin(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    return RunToEnd(arguments);
  }
  RunResult OnDatabase(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--database", server_.Dsn("app")});
    return Dunlin(std::move(arguments));
  }

  PgServer server_;
  std::string folder_;
};

}  // namespace dunlin::testing
