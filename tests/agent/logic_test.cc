#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "agent/lease.h"
#include "agent/migrations_dir.h"
#include "agent/pace/batch_sizer.h"
#include "agent/pace/rate_limiter.h"
#include "agent/signals/crowding.h"
#include "agent/signals/slowdown.h"
#include "agent/work/bisector.h"
#include "agent/work/crash_memory.h"
#include "agent/work/error_action.h"
#include "common/migration/name.h"
#include "common/pg/connection.h"
#include "common/pg/error.h"
#include "tests/testlib/seed.h"

namespace dunlin::agent {
namespace {

TEST(BatchSizerTest, GrowsAtMostTwofoldWhileLearningAndSettlesAtTheBatchTime) {
  BatchSizer sizer(absl::Milliseconds(100));
  int64_t before = sizer.rows();
  EXPECT_EQ(before, 100);
  for (int i = 0; i < 30; ++i) {  // a server that does 100,000 rows a second
    sizer.Committed(sizer.rows(), absl::Microseconds(10) * sizer.rows());
    EXPECT_LE(sizer.rows(), before * 2);
    before = sizer.rows();
  }
  EXPECT_GE(sizer.rows(), 8'000);
  EXPECT_LE(sizer.rows(), 12'000);
}

TEST(BatchSizerTest, ATimeoutTakesAQuarterAndForbidsGrowthForTenBatches) {
  BatchSizer sizer(absl::Milliseconds(100));
  for (int i = 0; i < 30; ++i) sizer.Committed(sizer.rows(), absl::Microseconds(10) * sizer.rows());
  const int64_t before = sizer.rows();
  sizer.TimedOut();
  EXPECT_EQ(sizer.rows(), before / 4);
  for (int i = 0; i < 10; ++i) sizer.Committed(sizer.rows(), absl::Microseconds(10) * sizer.rows());
  EXPECT_EQ(sizer.rows(), before / 4);
  sizer.Committed(sizer.rows(), absl::Microseconds(10) * sizer.rows());
  EXPECT_GT(sizer.rows(), before / 4);
}

TEST(BatchSizerTest, StaysWithinItsBounds) {
  BatchSizer sizer(absl::Seconds(10));
  for (int i = 0; i < 50; ++i) sizer.Committed(sizer.rows(), absl::Microseconds(1));
  EXPECT_EQ(sizer.rows(), BatchSizer::kMaxRows);
  for (int i = 0; i < 50; ++i) sizer.TimedOut();
  EXPECT_EQ(sizer.rows(), BatchSizer::kMinRows);
}

// Batches until it has settled, then the mean size of as many.
double SettledRows(BatchSizer& sizer, const std::function<absl::Duration(int64_t)>& takes) {
  constexpr int kBatches = 60;
  double sum = 0;
  for (int i = 0; i < 2 * kBatches; ++i) {
    if (i >= kBatches) sum += static_cast<double>(sizer.rows());
    sizer.Committed(sizer.rows(), takes(sizer.rows()));
  }
  return sum / kBatches;
}

TEST(BatchSizerTest, BatchesThatGetNoShorterKeepTheirRows) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::uniform_real_distribution<double> noise(0.8, 1.25);
  BatchSizer sizer(absl::Milliseconds(10));
  const auto with_fixed = [&](absl::Duration fixed) {
    return [&, fixed](int64_t rows) {
      return (fixed + absl::Microseconds(10) * rows) * noise(random);
    };
  };
  const double cheap = SettledRows(sizer, with_fixed(absl::Milliseconds(1)));
  EXPECT_GE(cheap, 600);
  EXPECT_LE(cheap, 1'200);
  // Thrice what a batch may take, whatever its size.
  EXPECT_GE(SettledRows(sizer, with_fixed(absl::Milliseconds(30))), 100);
  const double cheap_again = SettledRows(sizer, with_fixed(absl::Milliseconds(1)));
  EXPECT_GE(cheap_again, 600);
  EXPECT_LE(cheap_again, 1'200);
  // From the first batch on.
  BatchSizer new_one(absl::Milliseconds(5));
  EXPECT_GE(SettledRows(new_one, with_fixed(absl::Milliseconds(9))), 15);
}

TEST(BatchSizerTest, TimeoutsThatArePastLeaveNoCrawlWhereMostOfABatchIsAFixedCost) {
  BatchSizer sizer(absl::Milliseconds(120));
  for (int i = 0; i < 10; ++i) sizer.TimedOut();
  ASSERT_EQ(sizer.rows(), 1);
  EXPECT_GE(SettledRows(sizer,
                        [](int64_t rows) {
                          return absl::Milliseconds(90) + absl::Microseconds(10) * rows;
                        }),
            100);
}

TEST(BatchSizerTest, AFixedCostAboveTheBatchTimeLeavesNoCrawl) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::lognormal_distribution<double> noise(0, 0.5);
  BatchSizer sizer(absl::Milliseconds(5));
  constexpr absl::Duration kFixed = absl::Milliseconds(8);
  absl::Duration took;
  int64_t rows = 0, batches = 0;
  for (; rows < 200'000 && batches < 20'000; ++batches) {
    const absl::Duration batch = (kFixed + absl::Microseconds(10) * sizer.rows()) * noise(random);
    took += batch;
    rows += sizer.rows();
    sizer.Committed(sizer.rows(), batch);
  }
  EXPECT_GE(rows, 200'000) << "it crawls";
  EXPECT_LT(took, 3 * kFixed * batches) << "as long as nothing is gained by it";
}

TEST(BatchSizerTest, AShorterBatchTimeHoldsFromTheNextBatchOn) {
  // The second time while it has just been found that smaller batches do not pay.
  for (const absl::Duration fixed : {absl::ZeroDuration(), absl::Milliseconds(300)}) {
    BatchSizer sizer(absl::Milliseconds(100));
    const auto takes = [&](int64_t rows) { return fixed + absl::Microseconds(10) * rows; };
    SettledRows(sizer, takes);
    const int64_t before = sizer.rows();
    sizer.SetBatchTime(absl::Milliseconds(2));
    EXPECT_LT(sizer.rows(), before / 40);
    EXPECT_GT(sizer.rows(), before / 400);
  }
}

TEST(BatchSizerTest, RowsThatCostMoreMakeSmallerBatchesAndNoiseDoesNot) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::uniform_real_distribution<double> noise(0.5, 2);
  BatchSizer sizer(absl::Milliseconds(100));
  const auto noisy = [&](absl::Duration cost) {
    return
        [&, cost](int64_t rows) { return (absl::Milliseconds(2) + cost * rows) * noise(random); };
  };
  const double cheap = SettledRows(sizer, noisy(absl::Microseconds(10)));
  EXPECT_GE(cheap, 3'000);
  EXPECT_LE(cheap, 16'000);
  const double dear = SettledRows(sizer, noisy(absl::Microseconds(200)));
  EXPECT_GE(dear, 150);
  EXPECT_LE(dear, 1'600);
}

TEST(RateLimiterTest, SpreadsRowsOverTime) {
  RateLimiter limiter;
  absl::Duration now = absl::Seconds(100);
  EXPECT_EQ(limiter.WaitBefore(0, now), absl::ZeroDuration());
  limiter.Spent(500, 1000, now);
  EXPECT_EQ(limiter.WaitBefore(1000, now), absl::Milliseconds(500));
  EXPECT_EQ(limiter.WaitBefore(1000, now + absl::Seconds(1)), absl::ZeroDuration());
}

TEST(ErrorActionTest, Trap06_EachClassHasItsAnswer) {
  const auto action = [](const char* state) {
    return ClassifyError(pg::MakeServerStatus({.sqlstate = state}));
  };
  for (const char* state : {"57014", "55P03", "40P01"})
    EXPECT_EQ(action(state), ErrorAction::kRetrySmaller) << state;
  for (const char* state : {"40001", "53300", "25006"})
    EXPECT_EQ(action(state), ErrorAction::kRetry) << state;
  for (const char* state : {"57P01", "57P02", "08006"})
    EXPECT_EQ(action(state), ErrorAction::kReconnect) << state;
  for (const char* state : {"22P02", "23505", "23514", "P0001"})
    EXPECT_EQ(action(state), ErrorAction::kBisect) << state;
  for (const char* state : {"42703", "42P01", "42501"})
    EXPECT_EQ(action(state), ErrorAction::kFailRun) << state;
  EXPECT_EQ(action("DN001"), ErrorAction::kLeaseLost);
  EXPECT_EQ(action("DN002"), ErrorAction::kStopped);
}

TEST(ErrorActionTest, I8_NoRowValueIsInAStatus) {
  const absl::Status status = pg::MakeServerStatus(
      {.sqlstate = "22P02", .message = "invalid input syntax for type integer: \"secret-value\""});
  EXPECT_THAT(std::string(status.message()), ::testing::Not(::testing::HasSubstr("secret-value")));
}

TEST(DefinitionSourceTest, I9_ADefinitionOfAnotherDigestIsRefused) {
  const std::string text =
      "description: x\ntable: items\nbatch: UPDATE items SET n = n + 1 WHERE :batch\n";
  RunSpec run{.migration = "20261123120000_count", .digest = DigestOf(text), .definition = text};
  DefinitionSource any("", true);
  EXPECT_TRUE(any.Get(run).ok());
  const std::string folder = absl::StrCat(::testing::TempDir(), "dunlin_definitions_", getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(absl::StrCat(folder, "/", run.migration, ".yaml")) << text;
  DefinitionSource shipped(folder, false);
  EXPECT_TRUE(shipped.Get(run).ok());

  run.definition = text + "owner: mallory\n";
  DefinitionSource deceived("", true);
  EXPECT_TRUE(absl::IsFailedPrecondition(deceived.Get(run).status())) << "the digest is not its";
  run.digest = DigestOf(run.definition);
  EXPECT_TRUE(absl::IsFailedPrecondition(shipped.Get(run).status())) << "it was not shipped";
  std::filesystem::remove_all(folder);
}

const absl::Status kClosed = pg::MakeConnectionLost(absl::StatusCode::kUnavailable, "was lost");
const absl::Status kRefused = pg::MakeConnectionRefused("Connection refused");
const absl::Status kSilent = absl::UnavailableError("no answer");

TEST(CrashMemoryTest, Trap06_CountsOnlyCrashesWithoutACommitBetween) {
  CrashMemory memory;
  const ShardId shard("a");
  memory.LostDuringBatch(shard, 7, Loss::kSuspected);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 0);  // a lost connection alone is no crash
  memory.TriedToConnect(kRefused);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 1);
  memory.TriedToConnect(kRefused);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 1);
  memory.LostDuringBatch(shard, 7, Loss::kSuspected);
  memory.TriedToConnect(pg::MakeServerStatus({.sqlstate = "57P03"}));  // recovers
  EXPECT_EQ(memory.CrashesAt(shard, 7), 2);
  memory.LostDuringBatch(shard, 7, Loss::kCrash);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 3);
  EXPECT_EQ(memory.CrashesAt(shard, 8), 0);
  memory.Committed(shard);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 0);
}

TEST(CrashMemoryTest, Trap06_APartitionIsNoCrash) {
  CrashMemory memory;
  const ShardId shard("a");
  memory.LostDuringBatch(shard, 7, Loss::kSuspected);
  memory.TriedToConnect(kSilent);
  EXPECT_EQ(memory.CrashesAt(shard, 7), 0);
  memory.TriedToConnect(absl::OkStatus());  // it was up all the time
  memory.TriedToConnect(kRefused);          // another day
  EXPECT_EQ(memory.CrashesAt(shard, 7), 0);
}

TEST(CrashMemoryTest, Trap06_OnlyAServerThatGoesWithoutAWordIsSuspected) {
  EXPECT_EQ(LossOf(kClosed, {}), Loss::kSuspected);
  EXPECT_EQ(LossOf(kClosed, {"01000", "57P02"}), Loss::kCrash);
  EXPECT_EQ(LossOf(kClosed, {"57P01"}), Loss::kNoCrash);  // an immediate stop says so and is gone
  EXPECT_EQ(LossOf(pg::MakeServerStatus({.sqlstate = "57P01"}), {}), Loss::kNoCrash);
  EXPECT_EQ(LossOf(pg::MakeServerStatus({.sqlstate = "57014"}), {}), Loss::kNoCrash);
  EXPECT_EQ(LossOf(pg::MakeConnectionLost(absl::StatusCode::kDeadlineExceeded, "no answer"), {}),
            Loss::kNoCrash);
}

TEST(DsnTest, I8_APartOfAPasswordIsNeverTakenForAHostOrPort) {
  for (const char* dsn :
       {"postgresql://u:se@cret@host/app", "postgresql://u:p@se:cret@host:5432/app",
        "host=x port=cret", "postgresql://u:31337/cret@host/app",
        "postgresql://host?password=se@cret", "postgresql://host:5432?password=se@cret",
        "u:cret@host:5432/app", "postgresql://host/app?password=se@cret",
        "host= password=cret dbname=app"}) {
    const absl::Status status = pg::ValidateDsn(Secret(dsn));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << dsn;
    EXPECT_THAT(std::string(status.message()), ::testing::Not(::testing::HasSubstr("cret")));
  }
  for (const char* dsn : {"postgresql://u:se%40cret@host/app", "postgresql://u@a:1,b:2/app",
                          "host=/var/run/postgresql dbname=x", "host=@abstract", "dbname=app",
                          "app", "postgresql:///app?host=/tmp", "host=x password=p@ss:/?"})
    EXPECT_TRUE(pg::ValidateDsn(Secret(dsn)).ok()) << dsn;
  EXPECT_EQ(pg::DescribeDsn(Secret("host=x dbname=postgresql://u:cret@host/app")),
            "x:5432/a database whose name is not shown");
  EXPECT_EQ(pg::DescribeDsn(Secret("host=x dbname= password=cret")),
            "x:5432/a database whose name is not shown");
}

TEST(BisectorTest, Trap06_HalvesToOneRowAndGrowsAgainBehindIt) {
  Bisector bisector;
  EXPECT_FALSE(bisector.active());
  EXPECT_FALSE(bisector.Failed(1000, 1000));
  EXPECT_EQ(bisector.FindRows(), 500);
  bisector.Passed(500, 1000);
  EXPECT_EQ(bisector.FindRows(), 250);
  int halvings = 0;
  while (!bisector.Failed(bisector.FindRows(), bisector.FindRows())) ASSERT_LT(++halvings, 10);
  bisector.SetAside("23514 items no_luck");
  EXPECT_TRUE(bisector.active());
  int64_t total = 0;
  while (bisector.active()) {
    const int64_t rows = bisector.FindRows();
    total += rows;
    bisector.Passed(rows, 1000);
  }
  EXPECT_EQ(total, 1023);  // 1 + 2 + … + 512
}

TEST(BisectorTest, Trap10_AGroupLargerThanWhatWasAskedForIsHalvedUntilOneIsAsked) {
  Bisector bisector;
  bisector.Failed(1000, 3000);
  int tries = 0;
  while (!bisector.Failed(bisector.FindRows(), 3000)) ASSERT_LT(++tries, 12);
}

TEST(BisectorTest, ARangeThatPassesAfterAllEndsTheSearch) {
  Bisector bisector;
  bisector.Failed(4, 4);
  bisector.Passed(2, 1000);
  bisector.Passed(1, 1000);
  EXPECT_TRUE(bisector.active());
  bisector.Passed(1, 1000);
  EXPECT_FALSE(bisector.active());
}

TEST(BisectorTest, Trap07_OnlyRowsInARowForOneReasonMakeAWholeBatch) {
  Bisector bisector;
  for (int i = 0; i + 1 < Bisector::kWholeBatch; ++i) {
    EXPECT_FALSE(bisector.IsWholeBatch("a")) << i;
    bisector.SetAside("a");
  }
  EXPECT_TRUE(bisector.IsWholeBatch("a"));
  EXPECT_FALSE(bisector.IsWholeBatch("b"));
  bisector.Passed(1, 1000);
  EXPECT_FALSE(bisector.IsWholeBatch("a"));
}

// Seconds of forty reads, of which so many were made beside a batch.
class Slowdown {
 public:
  std::optional<double> Seconds(int seconds, int beside, double rest_ms, double beside_ms) {
    std::optional<double> last;
    for (int second = 0; second < seconds; ++second) {
      for (int read = 0; read < 40; ++read) {
        const bool works = read < beside;
        watch_.Note(absl::Milliseconds(works ? beside_ms : rest_ms), works);
      }
      std::vector<SignalSample> samples;
      watch_.Report(samples);
      last = samples.empty() ? std::nullopt : std::optional(samples[0].value);
    }
    return last;
  }

 private:
  SlowdownWatch watch_;
};

TEST(SlowdownTest, IsWhatAllReadsTakeOverThoseWhileDunlinRests) {
  Slowdown slowdown;
  // A quarter of the reads takes twice as long: a quarter more on the average, but for the 20 µs.
  EXPECT_NEAR(*slowdown.Seconds(20, 10, 1, 2), 1.23, 0.001);
  EXPECT_NEAR(*slowdown.Seconds(40, 20, 1, 2), 1.48, 0.001);
  EXPECT_EQ(*slowdown.Seconds(20, 10, 1, 1), 1);
}

TEST(SlowdownTest, WhatOthersDoFallsOnBothAlike) {
  Slowdown slowdown;
  slowdown.Seconds(20, 10, 0.2, 0.2);
  EXPECT_GT(*slowdown.Seconds(2, 10, 1, 1), 1.25) << "at first it is not known who it is";
  EXPECT_LT(*slowdown.Seconds(60, 10, 1, 1), 1.01);
}

TEST(SlowdownTest, IsForgottenWithinTwoSeconds) {
  Slowdown slowdown;
  slowdown.Seconds(20, 10, 1, 1);
  EXPECT_GT(*slowdown.Seconds(3, 10, 1, 9), 2);
  EXPECT_LT(*slowdown.Seconds(2, 10, 1, 1), 1.001);
}

TEST(SlowdownTest, OneReadThatHangsIsNone) {
  Slowdown slowdown;
  slowdown.Seconds(20, 1, 1, 1);
  EXPECT_LT(*slowdown.Seconds(1, 1, 1, 5'000), 1.15);
}

TEST(SlowdownTest, SaysNothingOfWhatItDoesNotKnow) {
  Slowdown slowdown;
  EXPECT_EQ(slowdown.Seconds(5, 40, 1, 1), std::nullopt) << "never at rest";
  ASSERT_TRUE(slowdown.Seconds(2, 10, 1, 1).has_value());
  EXPECT_TRUE(slowdown.Seconds(15, 40, 1, 1).has_value());
  EXPECT_EQ(slowdown.Seconds(10, 40, 1, 1), std::nullopt) << "at rest too long ago";
}

// Seconds of forty looks at so many open transactions, Dunlin at work in so many of them.
std::optional<SignalSample> Look(CrowdingWatch& watch, int seconds, int64_t open, int beside) {
  std::vector<SignalSample> samples;
  for (int second = 0; second < seconds; ++second) {
    samples.clear();
    for (int look = 0; look < 40; ++look) watch.Note(open, look < beside);
    watch.Report(samples);
  }
  return samples.empty() ? std::nullopt : std::optional(samples[0]);
}

TEST(CrowdingTest, WhatIsNormalIsLearnedWhileDunlinDoesLittleOnly) {
  CrowdingWatch watch;
  EXPECT_EQ(Look(watch, 5, 2, 40), std::nullopt);
  ASSERT_TRUE(Look(watch, 20, 2, 10).has_value());
  EXPECT_EQ(Look(watch, 1, 2, 10)->baseline, 2);
  const auto crowded = Look(watch, 60, 6, 40);
  EXPECT_NEAR(crowded->value, 6, 0.01);
  EXPECT_NEAR(crowded->baseline, 2, 0.2) << "however long it lasts";
  EXPECT_LT(Look(watch, 10, 6, 12)->baseline, 2.5) << "it may be Dunlin's own doing";
  EXPECT_GT(Look(watch, 30, 6, 2)->baseline, 5) << "the application itself has become busier";
}

TEST(CrowdingTest, WhatAnApplicationHasToCatchUpWithIsNotNormal) {
  CrowdingWatch watch;
  EXPECT_EQ(Look(watch, 3, 9, 10), std::nullopt);
  Look(watch, 3, 2, 10);
  EXPECT_LT(Look(watch, 1, 2, 10)->baseline, 3);
}

TEST(CrowdingTest, WhatWasNormalWhileNobodyWasThereIsNotForWhoeverComes) {
  CrowdingWatch watch;
  EXPECT_EQ(Look(watch, 30, 0, 40), std::nullopt);
  EXPECT_EQ(Look(watch, 1, 3, 10), std::nullopt);
  EXPECT_NEAR(Look(watch, 10, 3, 10)->baseline, 3, 0.001);
  EXPECT_EQ(Look(watch, 3, 0, 10), std::nullopt) << "they have gone";
}

TEST(CrowdingTest, WhereSeveralRunsNeverDoLittleMomentsOfRestServe) {
  CrowdingWatch watch;
  EXPECT_EQ(Look(watch, 10, 2, 30), std::nullopt);
  const auto learned = Look(watch, 20, 2, 30);
  ASSERT_TRUE(learned.has_value());
  EXPECT_EQ(learned->baseline, 2);
  EXPECT_NEAR(Look(watch, 30, 6, 30)->baseline, 2, 0.3);

  CrowdingWatch busy;
  EXPECT_EQ(Look(busy, 120, 2, 40), std::nullopt) << "there was no moment of rest";
}

TEST(CrowdingTest, WhatAnApplicationDoesBySheerChanceIsNormal) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::normal_distribution<double> chance(1, 0.2);
  CrowdingWatch watch;
  int over = 0, seconds = 0;
  const auto second = [&](double transactions, int beside) {
    const auto seen =
        Look(watch, 1, std::lround(transactions * std::max(0.0, chance(random))), beside);
    return seen && seen->value > 1.08 * seen->baseline;
  };
  for (; seconds < 600; ++seconds) over += second(100, 4) ? 1 : 0;
  EXPECT_LE(over, 0.1 * seconds) << "it varies by a fifth from second to second";
  over = 0;
  for (seconds = 0; seconds < 15; ++seconds) over += second(200, 4) ? 1 : 0;
  EXPECT_GE(over, 8) << "twice as many is no chance";
}

TEST(CrowdingTest, WhatNobodyFeelsOfATransactionIsNormal) {
  CrowdingWatch watch;
  Look(watch, 30, 2, 10);
  const double before = Look(watch, 1, 2, 10)->baseline;
  watch.NoteEnded(1'000'000, absl::Seconds(100));
  EXPECT_EQ(Look(watch, 1, 2, 10)->baseline, before);
  watch.NoteEnded(1'004'000, absl::Seconds(102));
  EXPECT_NEAR(Look(watch, 1, 2, 10)->baseline, before + 0.1, 1e-9) << "2,000 of them a second";
  watch.NoteEnded(10, absl::Seconds(103));
  EXPECT_NEAR(Look(watch, 1, 2, 10)->baseline, before + 0.1, 1e-9) << "the counters began anew";
}

TEST(CrowdingTest, LessIsNewsAtAnyTimeAndMoreIsForgottenWithinTwoSeconds) {
  CrowdingWatch watch;
  Look(watch, 10, 4, 10);
  EXPECT_NEAR(Look(watch, 60, 1, 40)->baseline, 1, 0.1);
  EXPECT_GT(Look(watch, 3, 9, 40)->value, 4);
  EXPECT_NEAR(Look(watch, 2, 1, 40)->value, 1, 0.001);
}

}  // namespace
}  // namespace dunlin::agent
