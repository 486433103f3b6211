// examples/expand-contract, file by file, as its README says.
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "common/pg/types.h"
#include "tests/testlib/pg_server.h"

namespace dunlin::testing {
namespace {

class ExpandContract : public ::testing::Test {
 protected:
  ExpandContract() { server_.CreateDatabase("app"); }
  static std::string Path(const std::string& file) {
    return absl::StrCat(DUNLIN_EXAMPLES_DIR, "/expand-contract/", file);
  }
  absl::Status Run(const std::string& file) {
    std::ifstream in(Path(file));
    std::ostringstream text;
    text << in.rdbuf();
    EXPECT_FALSE(text.str().empty()) << file;
    return server_.Connect("app")->ExecuteScript(text.str());
  }
  void Expect(const std::string& file) {
    const absl::Status ran = Run(file);
    ASSERT_TRUE(ran.ok()) << file << ": " << ran;
  }
  int64_t Int(const std::string& sql) { return server_.Int("app", sql); }
  RunResult Dunlin(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {Binary("dunlin")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    all.insert(all.end(), {"--database", server_.Dsn("app")});
    return RunToEnd(all);
  }
  PgServer server_;
};

TEST_F(ExpandContract, EachStepHoldsTheNextBackUntilItIsTime) {
  Expect("0_before.sql");
  Expect("1_expand.sql");
  Expect("2_dual_write.sql");
  server_.Exec("app", "UPDATE reservations SET status = 'cancelled' WHERE id = 1");
  EXPECT_EQ(Int("SELECT count(*) FROM reservations WHERE cancelled_on IS NOT NULL"), 1);
  EXPECT_FALSE(Run("3_guard.sql").ok()) << "there is no ledger at all";
  const RunResult backfill = Dunlin({"local", Path("20261123120000_backfill_cancelled_on.yaml")});
  ASSERT_EQ(backfill.exit_code, 0) << backfill.output;
  EXPECT_EQ(Int("SELECT count(*) FROM reservations WHERE status = 'cancelled' AND cancelled_on IS "
                "DISTINCT FROM updated_at::date"),
            0);
  EXPECT_EQ(Int("SELECT count(*) FROM reservations WHERE status <> 'cancelled' AND cancelled_on IS "
                "NOT NULL"),
            0);
  Expect("3_guard.sql");
  EXPECT_EQ(pg::SqlStateOf(Run("4_contract.sql")), "DN005") << "it has to soak";
  EXPECT_EQ(Int("SELECT count(updated_at) FROM reservations"), 20000);
  server_.Exec("app", "UPDATE dunlin.run SET finished_at = finished_at - interval '8 days'");
  Expect("4_contract.sql");
  const RunResult forgotten = Dunlin({"forget", "20261123120000"});
  EXPECT_EQ(forgotten.exit_code, 0) << forgotten.output;
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.before_image"), 0);
}

}  // namespace
}  // namespace dunlin::testing
