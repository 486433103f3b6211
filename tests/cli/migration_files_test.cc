#include "cli/migration_files.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() : folder_(absl::StrCat(::testing::TempDir(), "dunlin_folder_", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& more = "") {
    std::ofstream(absl::StrCat(folder_, "/", name)) << "description: d\nonce: SELECT 1\n" << more;
  }
  const std::string folder_;
};

TEST_F(FolderTest, AFoldersMigrationsComeInVersionOrderWithoutTestsAndNotes) {
  Write("20261102000000_b.yaml");
  Write("20261101000000_a.yml");
  Write("20261102000000_b.test.yaml");
  Write("README.md");
  const auto files = ReadFolder(folder_);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].name, "20261101000000_a");
  EXPECT_FALSE((*files)[0].has_test);
  EXPECT_TRUE((*files)[1].has_test);
}

TEST_F(FolderTest, WhatIsWrongIsSaidOfAllFilesAtOnce) {
  Write("20261101000000_a.yaml", "nonsense: 1\n");
  Write("notes.yaml");
  const absl::Status bad = ReadFolder(folder_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  EXPECT_THAT(std::string(bad.message()), HasSubstr("20261101000000_a.yaml:3:1: nonsense"));
  EXPECT_THAT(std::string(bad.message()), HasSubstr("notes.yaml: 'notes' is not the name"));
  std::filesystem::remove(folder_ + "/20261101000000_a.yaml");
  std::filesystem::remove(folder_ + "/notes.yaml");
  Write("20261101000000_a.yaml");
  Write("20261101000000_b.yaml");
  EXPECT_THAT(std::string(ReadFolder(folder_).status().message()), HasSubstr("the same version"));
  EXPECT_THAT(std::string(ReadFolder(folder_ + "/nowhere").status().message()),
              HasSubstr("say where the migrations are: dunlin up DIR"));
}

MigrationFile File(const std::string& name) {
  return {.name = name, .path = "", .bytes = "", .definition = {}};
}

TEST(FindCircleTest, CirclesAreFoundThroughDependsOnAndVersionOrder) {
  std::vector<MigrationFile> files = {File("20260101000000_a"), File("20260102000000_b"),
                                      File("20260103000000_c")};
  EXPECT_THAT(FindCircle(files), IsEmpty());
  files[0].definition.has_depends_on = true;
  files[0].definition.depends_on = {"20260103000000_c"};
  EXPECT_THAT(FindCircle(files), HasSubstr("20260103000000_c waits for 20260101000000_a"))
      << "c waits for a by its version";
  files[2].definition.has_depends_on = true;
  EXPECT_THAT(FindCircle(files), IsEmpty());
  files[2].definition.depends_on = {"20260102000000_b"};
  EXPECT_THAT(FindCircle(files), HasSubstr("these wait for each other"));
}

TEST(FindCircleTest, AStandInHasTheOlderOnesPlace) {
  std::vector<MigrationFile> files = {File("20260101000000_a"), File("20260102000000_b"),
                                      File("20260103000000_c")};
  files[2].definition.supersedes = "20260101000000_a";
  EXPECT_THAT(FindCircle(files), IsEmpty()) << "c comes first, b waits for c";
  files[2].definition.has_depends_on = true;
  files[2].definition.depends_on = {"20260102000000_b"};
  EXPECT_THAT(FindCircle(files), HasSubstr("these wait for each other"));
  EXPECT_EQ(FindStandIn(files, "20260101000000_a"), &files[2]);
  EXPECT_EQ(FindStandIn(files, "20260102000000_b"), nullptr);
}

TEST(StartTimeTest, TakesWhatPeopleWrite) {
  const absl::TimeZone zone = absl::FixedTimeZone(2 * 3600);
  const absl::Time now = absl::FromCivil(absl::CivilSecond(2026, 11, 23, 15, 30), zone);
  const auto at = [&](int day, int hour, int minute) {
    return absl::FromCivil(absl::CivilSecond(2026, 11, day, hour, minute), zone);
  };
  EXPECT_EQ(*ParseStartTime("22:00", now, zone), at(23, 22, 0));
  EXPECT_EQ(*ParseStartTime("08:15", now, zone), at(24, 8, 15)) << "the next such time";
  EXPECT_EQ(*ParseStartTime("2026-11-25 01:00", now, zone), at(25, 1, 0));
  EXPECT_EQ(*ParseStartTime("2026-11-24T20:00:00Z", now, zone), at(24, 22, 0));
  EXPECT_EQ(*ParseStartTime("+2h", now, zone), at(23, 17, 30));
  for (const char* bad : {"", "soon", "25:00", "2026-13-01 00:00", "+", "22"}) {
    const absl::Status refused = ParseStartTime(bad, now, zone).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << bad;
  }
}

}  // namespace
}  // namespace dunlin::cli
