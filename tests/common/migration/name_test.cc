#include "common/migration/name.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(MigrationNameTest, SplitsVersionAndName) {
  const auto name = ParseMigrationName("20261123120000_backfill_cancelled_on");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->version, "20261123120000");
  EXPECT_EQ(name->snake_name, "backfill_cancelled_on");
  EXPECT_EQ(name->full(), "20261123120000_backfill_cancelled_on");
}

TEST(MigrationNameTest, RefusesOtherNamesAndShowsAnExample) {
  const std::vector<std::string> bad = {"",
                                        "x",
                                        "20261123120000",
                                        "20261123120000_",
                                        "2026112312000_x",
                                        "202611231200001_x",
                                        "20261123120000x",
                                        "20261123120000_Backfill",
                                        "20261123120000_back-fill",
                                        "20261123120000__x",
                                        "20261123120000_x y",
                                        "20261123120000_x\n",
                                        "20261123120000_" + std::string(200, 'x')};
  for (const std::string& text : bad) {
    const auto name = ParseMigrationName(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(name.status().message().find("20261123120000_backfill_cancelled_on"),
              std::string::npos);
  }
}

TEST(MigrationNameTest, TakesTheLastPartOfAPathWithoutItsEnding) {
  for (const std::string path : {"db/data_migrations/20261123120000_x.yaml", "20261123120000_x.yml",
                                 "/a.b/20261123120000_x.yaml", "20261123120000_x"}) {
    const auto name = MigrationNameOfPath(path);
    ASSERT_TRUE(name.ok()) << path << ": " << name.status();
    EXPECT_EQ(name->full(), "20261123120000_x");
  }
  EXPECT_FALSE(MigrationNameOfPath("20261123120000_x.sql").ok());
  EXPECT_FALSE(MigrationNameOfPath("db/").ok());
}

TEST(DigestTest, I9_TheDigestIsSha256OfTheBytes) {
  EXPECT_EQ(DigestOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(DigestOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(DigestOf("abc"), DigestOf("abc\n"));
}

}  // namespace
}  // namespace dunlin
