#include "tests/agent/agent_fixture.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"

namespace dunlin::agent {

AgentTest::AgentTest(std::vector<std::string> server_settings)
    : server_(std::move(server_settings)) {
  server_.CreateDatabase("app");
  sessions_ = std::make_unique<SessionFactory>(Secret(server_.Dsn("app")));
}

void AgentTest::MakeItems(int rows) {
  Exec(absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) WITH ",
                    "(fillfactor = 70); INSERT INTO items SELECT g FROM generate_series(1, ", rows,
                    ") g; ANALYZE items"));
}

void AgentTest::UseCountUp(const std::string& more) {
  UseFile(absl::StrCat(
      "description: Count\ntable: items\nbatch: UPDATE items SET n = n + 1 WHERE :batch\n", more));
}

void AgentTest::UseFile(const std::string& text) {
  auto parsed = ParseMigrationOrError("20261123120000_count.yaml", text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  definition_ = *std::move(parsed);
  run_ = RunSpec{.id = RunId(MakeUuid()),
                 .migration = "20261123120000_count",
                 .target = "app",
                 .digest = DigestOf(text),
                 .definition = text,
                 .started_at = "2026-11-23 12:00:00+00",
                 .store_id = "11111111-1111-4111-8111-111111111111",
                 .store_name = "test"};
  task_epoch_ = 0;
}

TaskWork AgentTest::MakeTask(TaskKind kind) {
  return {.id = TaskId(MakeUuid()),
          .kind = kind,
          .task_epoch = Epoch(++task_epoch_),
          .finish = true,
          .shards_max = 64};
}

TaskResult AgentTest::Task(TaskKind kind, int step, int64_t shards_known) {
  TaskWork task = MakeTask(kind);
  task.step = step;
  task.shards_known = shards_known;
  return RunTaskWork(task);
}

TaskResult AgentTest::RunTaskWork(const TaskWork& task) {
  LeaseHandle handle(Lease{.id = LeaseId(MakeUuid()),
                           .run = run_,
                           .duration = absl::Minutes(5),
                           .limits = {},
                           .work = task},
                     SystemClock().Monotonic(), SystemClock());
  return RunTask({.handle = handle,
                  .run = run_,
                  .task = std::get<TaskWork>(handle.lease().work),
                  .definition = definition_,
                  .sessions = *sessions_,
                  .clock = SystemClock()});
}

std::vector<LedgerShard> AgentTest::PlanRun() {
  const TaskResult looked = Task(TaskKind::kPreflight);
  const auto* problem = std::get_if<Problem>(&looked);
  EXPECT_EQ(problem, nullptr) << problem->message;
  const TaskResult planned = Task(TaskKind::kPlan);
  problem = std::get_if<Problem>(&planned);
  EXPECT_EQ(problem, nullptr) << problem->message;
  return Shards();
}

std::vector<LedgerShard> AgentTest::Shards() {
  const auto connection = server_.Connect("app");
  auto shards = ListLedgerShards(*connection, run_.id, -1);
  EXPECT_TRUE(shards.ok()) << shards.status();
  return shards.ok() ? *std::move(shards) : std::vector<LedgerShard>();
}

LedgerShard AgentTest::PlanOneShard() {
  const std::vector<LedgerShard> shards = PlanRun();
  EXPECT_EQ(shards.size(), 1u) << "the table of this test is too large for one shard";
  return shards.at(0);
}

std::shared_ptr<LeaseHandle> AgentTest::Grant(const LedgerShard& shard, int64_t epoch) {
  return std::make_shared<LeaseHandle>(
      Lease{.id = LeaseId(MakeUuid()),
            .run = run_,
            .duration = absl::Minutes(5),
            .limits = {.batch_time = definition_.limits.batch_time},
            .work = ShardWork{.id = shard.id,
                              .step = shard.step,
                              .relation = shard.relation,
                              .lower = shard.lower,
                              .upper = shard.upper,
                              .epoch = Epoch(epoch),
                              .rows_total = shard.rows_total}},
      SystemClock().Monotonic(), SystemClock());
}

ShardOutcome AgentTest::Work(LeaseHandle& handle, SizeMemory& sizes) {
  ShardWorker worker(handle, definition_, *sessions_, crashes_, sizes,
                     {.split =
                          [this](const SplitReport& split) {
                            splits_.push_back(split);
                            return true;
                          },
                      .quarantine =
                          [this](const std::vector<QuarantinedRow>& rows, const Checkpoint&) {
                            set_aside_.insert(set_aside_.end(), rows.begin(), rows.end());
                            return quarantine_answer_;
                          }},
                     SystemClock());
  return worker.Run();
}

std::unique_ptr<pg::Connection> AgentTest::OpenFor(const LedgerShard& shard, int64_t epoch) {
  auto opened =
      sessions_->OpenForShard(run_.migration, shard.id, Epoch(epoch), "public, pg_temp", {});
  EXPECT_TRUE(opened.ok()) << opened.status();
  return *std::move(opened);
}

absl::StatusOr<std::variant<ClaimedShard, Problem>> AgentTest::Claim(pg::Connection& connection,
                                                                     const LedgerShard& shard,
                                                                     int64_t epoch,
                                                                     bool may_terminate) {
  const auto handle = Grant(shard, epoch);
  return ClaimShard(connection, *sessions_, run_, std::get<ShardWork>(handle->lease().work),
                    [may_terminate] { return may_terminate; }, {});
}

AgentTest::Claimed AgentTest::ClaimAndPrepare(const LedgerShard& shard, int64_t epoch) {
  Claimed claimed;
  claimed.connection = OpenFor(shard, epoch);
  auto answer = Claim(*claimed.connection, shard, epoch);
  EXPECT_TRUE(answer.ok()) << answer.status();
  if (const auto* problem = std::get_if<Problem>(&*answer)) {
    claimed.problem = *problem;
    return claimed;
  }
  const ClaimedShard& is = std::get<ClaimedShard>(*answer);
  claimed.state = ShardState{.id = shard.id,
                             .epoch = Epoch(epoch),
                             .lower = is.lower,
                             .upper = is.upper,
                             .checkpoint = is.checkpoint,
                             .done = is.done};
  Prepare(shard, claimed);
  return claimed;
}

AgentTest::Claimed AgentTest::PrepareOnly(const LedgerShard& shard) {
  Claimed prepared;
  prepared.connection = OpenFor(shard, 0);
  Prepare(shard, prepared);
  return prepared;
}

void AgentTest::Prepare(const LedgerShard& shard, Claimed& claimed) {
  const StepDefinition& step = definition_.steps[static_cast<size_t>(shard.step)];
  auto parameters =
      ResolveParameters(*claimed.connection, definition_, run_.parameters, run_.started_at);
  auto relation = DescribeRelation(*claimed.connection, shard.relation, step.key);
  EXPECT_TRUE(parameters.ok() && relation.ok()) << parameters.status() << relation.status();
  auto images = DescribeImages(*claimed.connection, run_, shard.step, step, *relation);
  EXPECT_TRUE(images.ok()) << images.status();
  auto sql = StepSql::Make(step, *relation, {}, *std::move(parameters), *images);
  EXPECT_TRUE(sql.ok()) << sql.status();
  claimed.sql = std::make_unique<StepSql>(*std::move(sql));
  claimed.runner = std::make_unique<BatchRunner>(*claimed.connection, *claimed.sql,
                                                 definition_.durability, absl::Milliseconds(800));
}

BatchOutcome AgentTest::Claimed::RunBatch(int64_t rows) {
  auto boundary = runner->FindBoundary(state, rows);
  if (!boundary.ok()) return BatchOutcome{.status = boundary.status()};
  return runner->Run(state, *boundary, 0);
}

}  // namespace dunlin::agent
