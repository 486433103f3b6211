// Each call to a server, libpq's and gRPC's, of a small complete run fails once: before the server
// saw it, after it took effect, or with its answer withheld until the deadline. The run must end,
// and every row be right. Undisturbed runs tell which calls there are; then comes a run for each.
// Which way it fails, and which time of several, is drawn from a seed that is printed; with
// DUNLIN_CALLS=all it fails in all three ways at its first time, and at another. One pair is
// replayed by DUNLIN_CALL='…', as a failure prints it.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>

#include "common/clock.h"
#include "tests/calls/small_run.h"
#include "tests/testlib/process.h"
#include "tests/testlib/seed.h"

namespace dunlin::testing {
namespace {

using Counts = std::map<std::string, int>;

// A run mostly waits: for leases to expire, and for the barrier.
constexpr size_t kWorkers = 6;
// What happens only now and then (the second look at a signal) is in some undisturbed runs only.
constexpr int kUndisturbedRuns = 3;
// A run that did not come to its call is tried again, as often.
constexpr int kTries = 8;
constexpr absl::Duration kLongest = absl::Minutes(25);

const std::vector<std::string>& Ways() {
  static const auto* ways = new std::vector<std::string>{"before", "after", "hang:300"};
  return *ways;
}

struct Pair {
  std::string call;
  std::string way;
  int nth = 1;

  std::string Spec() const { return absl::StrCat(call, "=", way, "@", nth); }
};

Pair ParsePair(const std::string& spec) {
  const size_t equals = spec.rfind('=');
  const size_t at = spec.rfind('@');
  Pair pair{.call = spec.substr(0, equals), .way = spec.substr(equals + 1, at - equals - 1)};
  EXPECT_TRUE(absl::SimpleAtoi(spec.substr(at + 1), &pair.nth)) << spec;
  return pair;
}

std::vector<Pair> PairsOf(const Counts& counts, bool all, std::mt19937_64& random) {
  std::vector<Pair> pairs;
  for (const auto& [call, count] : counts) {
    const auto draw = [&] { return random() % Ways().size(); };
    const int nth = 1 + static_cast<int>(random() % static_cast<size_t>(count));
    if (!all || nth > 1) pairs.push_back({.call = call, .way = Ways()[draw()], .nth = nth});
    for (size_t way = 0; all && way < Ways().size(); ++way)
      pairs.push_back({.call = call, .way = Ways()[way]});
  }
  return pairs;
}

constexpr const char* kNotReached = "calls: no run came to ";

// A run in which it fails. Threads take other turns in each run: one that does not come to the call
// is tried again.
void Fail(PgServer& server, Pair pair, std::mt19937_64& random) {
  for (int tried = 0; tried < kTries; ++tried) {
    const SmallRunResult run = RunSmallMigration(server, pair.Spec());
    if (run.hit || !run.problem.empty()) {
      std::cout << "calls: " << absl::ToInt64Milliseconds(run.took) << " ms " << pair.Spec()
                << std::endl;
      EXPECT_EQ(run.problem, "") << "replay: DUNLIN_CALL='" << pair.Spec() << "' calls_test";
      return;
    }
    // It was undisturbed: what it called is as good a list as any.
    const auto called = run.calls.find(pair.call);
    if (called != run.calls.end())
      pair.nth = 1 + static_cast<int>(random() % static_cast<size_t>(called->second));
  }
  std::cout << kNotReached << pair.Spec() << std::endl;
}

// In a process of its own, since what fails is set for a whole process.
void Work(const char* path) {
  PgServer server;
  std::mt19937_64 random(Seed());
  std::ifstream list(path);
  for (std::string spec; std::getline(list, spec);) Fail(server, ParsePair(spec), random);
}

Counts CountCalls() {
  PgServer server;
  Counts counts;
  int64_t splits = 0;
  for (int i = 0; i < kUndisturbedRuns; ++i) {
    const SmallRunResult run = RunSmallMigration(server, "");
    EXPECT_EQ(run.problem, "");
    splits += run.splits;
    std::cout << "calls: " << run.calls.size() << " different ones in an undisturbed run of "
              << absl::ToInt64Milliseconds(run.took) << " ms" << std::endl;
    for (const auto& [call, count] : run.calls)
      if (!absl::StrContains(call, " dunlin ")) counts[call] = std::max(counts[call], count);
  }
  EXPECT_GE(splits, 1) << "a run is to have a split among its calls";
  return counts;
}

void Replay(const char* spec) {
  PgServer server;
  const SmallRunResult run = RunSmallMigration(server, spec);
  EXPECT_EQ(run.problem, "");
  EXPECT_TRUE(run.hit) << "the run did not come to this call: " << spec;
}

TEST(CallsTest, I1_I2_I4_I6_EachFailsOnceAndEveryRowIsRight) {
  if (const char* one = std::getenv("DUNLIN_CALL"); one != nullptr) return Replay(one);
  if (const char* list = std::getenv("DUNLIN_CALLS_LIST"); list != nullptr) return Work(list);
  std::mt19937_64 random(Seed());
  const Counts counts = CountCalls();
  const char* which = std::getenv("DUNLIN_CALLS");
  std::vector<Pair> pairs =
      PairsOf(counts, which != nullptr && absl::string_view(which) == "all", random);
  std::shuffle(pairs.begin(), pairs.end(), random);
  std::cout << "calls: " << counts.size() << " different ones, " << pairs.size()
            << " pairs of a call and a way" << std::endl;

  const std::string scratch = absl::StrCat(::testing::TempDir(), "dunlin_calls_", getpid());
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<std::unique_ptr<Process>> workers;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    const std::string list = absl::StrCat(scratch, "_", worker);
    std::ofstream out(list);
    for (size_t i = worker; i < pairs.size(); i += kWorkers) out << pairs[i].Spec() << "\n";
    out.close();
    workers.push_back(std::make_unique<Process>(
        std::vector<std::string>{"env", absl::StrCat("DUNLIN_CALLS_LIST=", list), self}));
  }
  const absl::Duration until = SystemClock().Monotonic() + kLongest;
  std::vector<std::string> not_reached;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    const int code = workers[worker]->Wait(until - SystemClock().Monotonic());
    const std::string output = workers[worker]->Output();
    EXPECT_EQ(code, 0) << output;
    for (absl::string_view line : absl::StrSplit(output, '\n'))
      if (absl::StartsWith(line, kNotReached)) not_reached.emplace_back(line);
    unlink(absl::StrCat(scratch, "_", worker).c_str());
  }
  // Each of these was absent from as many later runs as it was tried in: not one of a run's calls.
  EXPECT_LE(not_reached.size() * 33, pairs.size()) << absl::StrJoin(not_reached, "\n");
}

}  // namespace
}  // namespace dunlin::testing
