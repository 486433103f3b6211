#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/installer.h"
#include "agent/ledger/ledger.h"
#include "agent/ledger/relation.h"
#include "agent/ledger/statements.h"
#include "agent/task/sampling.h"
#include "agent/task/task_runner.h"
#include "agent/work/step_sql.h"
#include "agent/work/tied_session.h"
#include "common/fault.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

struct PlannedShard {
  std::string relation;
  OptionalKey lower, upper;
  std::string collations;
  int64_t rows_total = 0;
  bool nothing_to_do = false;
};

struct Plan {
  std::vector<PlannedShard> shards;
  int64_t rows_total = 0;
};

absl::Status PlanRelation(const TaskContext& context, pg::Connection& connection,
                          const StepDefinition& step, const Relation& relation,
                          const BoundParameters& parameters, Plan& plan) {
  DUNLIN_ASSIGN_OR_RETURN(
      const Filter filter,
      MakeFilter(step, relation, DeclaredParameters(context.definition), parameters));
  DUNLIN_ASSIGN_OR_RETURN(KeyPlan keys, PlanKeySpace(connection, relation, filter,
                                                     context.definition.limits.concurrency,
                                                     context.task.shards_max, context.shards));
  OptionalKey lower;
  const auto count = static_cast<int64_t>(keys.uppers.size());
  for (KeyText& upper : keys.uppers) {
    PlannedShard shard{.relation = relation.name_sql,
                       .lower = lower,
                       .upper = std::move(upper),
                       .collations = relation.collation_versions,
                       .rows_total = keys.rows_total / count};
    lower = shard.upper;
    plan.shards.push_back(std::move(shard));
  }
  plan.rows_total += keys.rows_total;
  return absl::OkStatus();
}

// Shards over the parent's one key space when the batch names the parent; per leaf when it says
// `:table` (trap 3).
absl::StatusOr<Plan> MakePlan(const TaskContext& context, pg::Connection& connection,
                              const StepDefinition& step) {
  Plan plan;
  if (step.is_once()) {
    plan.shards.push_back({});
    return plan;
  }
  DUNLIN_ASSIGN_OR_RETURN(const BoundParameters parameters,
                          ResolveParameters(connection, context.definition, context.run.parameters,
                                            context.run.started_at));
  DUNLIN_ASSIGN_OR_RETURN(const Relation relation, DescribeTable(connection, step.table, step.key));
  if (!step.uses_table_placeholder) {
    DUNLIN_RETURN_IF_ERROR(PlanRelation(context, connection, step, relation, parameters, plan));
    return plan;
  }
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> leaves, ListLeaves(connection, relation));
  std::vector<std::string> key = step.key;
  if (key.empty()) {
    for (const KeyColumn& column : relation.key) key.push_back(column.name_sql);
  }
  for (const std::string& name : leaves) {
    DUNLIN_ASSIGN_OR_RETURN(const Relation leaf, DescribeRelation(connection, name, key));
    DUNLIN_RETURN_IF_ERROR(PlanRelation(context, connection, step, leaf, parameters, plan));
  }
  return plan;
}

// What an undo does of a former shard: (from, to], but for rows that were set aside and so never
// changed. Those, as what the shard did not reach, have nothing to do: they are there so that the
// shards cover the key space (I2).
absl::Status PlanPartsOfUndo(pg::Connection& connection, const LedgerShard& former,
                             PlannedShard part, Plan& plan) {
  const auto add = [&](const OptionalKey& to, bool nothing_to_do) {
    if (to == part.lower) return;
    part.upper = to;
    part.nothing_to_do = nothing_to_do;
    part.rows_total = nothing_to_do ? 0 : former.checkpoint.rows_done;
    plan.shards.push_back(part);
    part.lower = to;
  };
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result left_out,
                          connection.Execute(sql::kLeftOutOfShard, {former.id.value()}));
  for (const std::vector<pg::Value>& row : left_out.rows) {
    DUNLIN_ASSIGN_OR_RETURN(const OptionalKey before, DecodeKey(row[0]));
    DUNLIN_ASSIGN_OR_RETURN(const OptionalKey key, DecodeKey(row[1]));
    add(before, false);
    add(key, true);
  }
  if (former.checkpoint.cursor) {
    add(former.checkpoint.cursor, false);
    plan.rows_total += former.checkpoint.rows_done;
  }
  if (!former.done || !former.checkpoint.cursor) add(former.upper, true);
  return absl::OkStatus();
}

// An undo works where the run that it takes back has: its shards, as far as they came.
absl::StatusOr<Plan> PlanUndo(const TaskContext& context, pg::Connection& connection,
                              const StepDefinition& step) {
  Plan plan;
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<LedgerShard> done,
                          ListLedgerShards(connection, context.run.follows, step.undoes_step));
  for (const LedgerShard& shard : done) {
    if (step.is_once()) {
      if (shard.done) plan.shards.push_back({});
      continue;
    }
    DUNLIN_ASSIGN_OR_RETURN(const Relation relation,
                            DescribeRelation(connection, shard.relation, step.key));
    DUNLIN_RETURN_IF_ERROR(PlanPartsOfUndo(connection, shard,
                                           {.relation = shard.relation,
                                            .lower = shard.lower,
                                            .collations = relation.collation_versions},
                                           plan));
  }
  return plan;
}

absl::StatusOr<std::vector<LedgerShard>> InsertPlan(const TaskContext& context,
                                                    pg::Connection& connection, const Plan& plan,
                                                    const TargetIdentity& identity) {
  const std::string run = context.run.id.value();
  std::vector<pg::Command> commands;
  commands.push_back(
      {.statement = sql::kBeginPlan,
       .parameters = {run, context.run.store_id, absl::StrCat(context.task.task_epoch.value()),
                      absl::StrCat(context.task.step)}});
  for (const PlannedShard& shard : plan.shards) {
    pg::Command insert{
        .statement = shard.nothing_to_do ? sql::kInsertDoneShard : sql::kInsertShard,
        .parameters = {MakeUuid(), run, absl::StrCat(context.task.step),
                       shard.relation.empty() ? pg::Value() : pg::Value(shard.relation),
                       EncodeKey(shard.lower), EncodeKey(shard.upper), shard.collations}};
    if (!shard.nothing_to_do) insert.parameters.push_back(absl::StrCat(shard.rows_total));
    commands.push_back(std::move(insert));
  }
  commands.push_back(
      {.statement = sql::kSetRowsTotal, .parameters = {run, absl::StrCat(plan.rows_total)}});
  commands.push_back(
      {.statement = sql::kSetPlannedOn,
       .parameters = {run, identity.system_identifier, absl::StrCat(identity.timeline)}});
  commands.push_back(
      {.statement = sql::kShardsOfRun, .parameters = {run, absl::StrCat(context.task.step)}});
  DUNLIN_RETURN_IF_ERROR(DUNLIN_FAULT("agent.plan.before_commit"));
  std::vector<pg::Result> results;
  DUNLIN_RETURN_IF_ERROR(RunTransaction(connection, commands, &results, {.timeout = kPlanTimeout}));
  DUNLIN_RETURN_IF_ERROR(DUNLIN_FAULT("agent.plan.after_commit"));
  return DecodeLedgerShards(results.back());
}

// Whether an earlier try of this plan committed: then its shards are reported, after a write of our
// own (I4).
absl::StatusOr<std::vector<LedgerShard>> TakeOverEarlierPlan(const TaskContext& context,
                                                             pg::Connection& connection) {
  std::vector<pg::Result> results;
  DUNLIN_RETURN_IF_ERROR(
      RunTransaction(connection,
                     {{.statement = sql::kBeginTask,
                       .parameters = {context.run.id.value(), context.run.store_id,
                                      absl::StrCat(context.task.task_epoch.value())}},
                      {.statement = sql::kShardsOfRun,
                       .parameters = {context.run.id.value(), absl::StrCat(context.task.step)}}},
                     &results));
  return DecodeLedgerShards(results.back());
}

}  // namespace

TaskResult RunPlan(const TaskContext& context) {
  const StepDefinition& step = context.definition.steps[static_cast<size_t>(context.task.step)];
  const std::string doing =
      absl::StrCat("planning ", step.is_once() ? "the `once` step" : step.table);
  auto opened = TieSession(
      context.handle,
      context.sessions.OpenForTask(kPlanTimeout, "public, pg_temp", context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  const TargetIdentity server = context.handle.server();
  // A failover behind the preflight may have lost the whole schema.
  if (std::optional<TaskResult> ended = WithoutLedger(context, connection))
    return *std::move(ended);
  auto registered = RegisterRun(connection, context.run, context.definition, server);
  if (!registered.ok())
    return ResultFromStatus(registered.status(), "registering the run in the ledger");
  if (registered->has_value()) return **registered;

  auto found = ListLedgerShards(connection, context.run.id, context.task.step);
  if (!found.ok()) return ResultFromStatus(found.status(), doing);
  PlanResult result;
  absl::StatusOr<std::vector<LedgerShard>> shards =
      absl::AlreadyExistsError("planned by an earlier try");
  bool planned_before = !found->empty() && !DUNLIN_MUTANT("plan_twice");
  if (!planned_before) {
    const bool undo = context.run.kind == RunSpec::Kind::kUndo;
    // An undo touches only what the run before it has, and that one is fenced off.
    if (context.task.step == 0 && !undo && !DUNLIN_MUTANT("barrier_not_waited")) {
      if (std::optional<TaskResult> ended = WaitForBarrier(context, connection))
        return *std::move(ended);
    }
    auto plan = undo ? PlanUndo(context, connection, step) : MakePlan(context, connection, step);
    if (!plan.ok()) return ResultFromStatus(plan.status(), doing);
    if (!context.handle.Valid()) return std::monostate{};
    shards = InsertPlan(context, connection, *plan, server);
    result.rows_total = plan->rows_total;
    // A zombie of a lower task epoch was quicker: its plan counts.
    planned_before = pg::SqlStateOf(shards.status()) == "DN004";
  }
  if (planned_before) shards = TakeOverEarlierPlan(context, connection);
  if (!shards.ok()) return ResultFromStatus(shards.status(), doing);
  result.shards = *std::move(shards);
  if (planned_before) {
    for (const LedgerShard& shard : result.shards) result.rows_total += shard.rows_total;
  }
  LOG(INFO) << Event("planned")
                   .Kv("run", context.run.id)
                   .Kv("step", context.task.step)
                   .Kv("shards", result.shards.size());
  return result;
}

}  // namespace dunlin::agent
