#include "cli/schema_wait.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/session.h"
#include "agent/task/schema_locks.h"
#include "common/clock.h"
#include "common/dsn_source.h"
#include "common/status_util.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

// A target answers within a heartbeat or two.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(10);
constexpr absl::Duration kAnswerPoll = absl::Milliseconds(100);
constexpr absl::Duration kLookAgain = absl::Milliseconds(500);
// A connection of our own is not kept longer than an agent's would be.
constexpr absl::Duration kStatementTimeout = absl::Seconds(5);

struct Look {
  std::vector<std::string> locks;
  std::string problem;  // why it could not be looked at
};

Look LookAtDatabase(const GlobalOptions& global, const std::set<std::string>& tables) {
  const auto dsn = ReadDsn(global.database);
  if (!dsn.ok()) return {.problem = std::string(dsn.status().message())};
  const agent::SessionFactory sessions(*dsn);
  const auto connection = sessions.OpenForTask(kStatementTimeout, "public, pg_temp", {});
  if (!connection.ok()) return {.problem = std::string(connection.status().message())};
  const auto found = agent::FindSchemaLocks(**connection, {tables.begin(), tables.end()});
  if (!found.ok()) return {.problem = std::string(found.status().message())};
  Look look;
  for (const agent::SchemaLock& lock : *found) look.locks.push_back(lock.text);
  return look;
}

pb::LookForSchemaLocksRequest QuestionTo(const std::string& target,
                                         const std::set<std::string>& tables) {
  pb::LookForSchemaLocksRequest request;
  request.set_target(target);
  for (const std::string& table : tables) {
    if (request.table_size() < kMaxTablesPerQuestion) request.add_table(table);
  }
  return request;
}

// The answer, if there is one by now.
std::optional<Look> TakeAnswer(const absl::StatusOr<pb::LookForSchemaLocksResponse>& response) {
  if (!response.ok()) return Look{.problem = std::string(response.status().message())};
  if (response->no_agent()) return Look();
  if (!response->answered()) return std::nullopt;
  Look look{.problem = response->problem()};
  for (const auto& lock : response->locks()) look.locks.push_back(lock.text());
  return look;
}

// All targets at once: each takes a heartbeat.
std::map<std::string, Look> AskTargets(Client& client, const TablesByTarget& wanted) {
  std::map<std::string, Look> looks;
  std::map<std::string, pb::LookForSchemaLocksRequest> asked;
  for (const auto& [target, tables] : wanted) {
    pb::LookForSchemaLocksRequest request = QuestionTo(target, tables);
    const auto response = client.LookForSchemaLocks(request);
    if (auto look = TakeAnswer(response)) {
      looks[target] = *std::move(look);
    } else {
      request.set_question_id(response->question_id());
      asked[target] = std::move(request);
    }
  }
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kAnswerTimeout;
  while (!asked.empty() && clock.Monotonic() < until && !Interrupted()) {
    clock.SleepFor(kAnswerPoll, {});
    for (auto it = asked.begin(); it != asked.end();) {
      auto look = TakeAnswer(client.LookForSchemaLocks(it->second));
      if (look) looks[it->first] = *std::move(look);
      it = look ? asked.erase(it) : std::next(it);
    }
  }
  for (const auto& [target, request] : asked)
    looks[target] = {.problem = absl::StrCat("no answer within ", HumanDuration(kAnswerTimeout))};
  return looks;
}

std::map<std::string, Look> LookAt(Client& client, const GlobalOptions& global,
                                   const TablesByTarget& wanted) {
  if (global.database.empty()) return AskTargets(client, wanted);
  std::map<std::string, Look> looks;
  for (const auto& [target, tables] : wanted) looks[target] = LookAtDatabase(global, tables);
  return looks;
}

}  // namespace

absl::StatusOr<std::optional<absl::Duration>> ParseSchemaWait(const std::string& text) {
  if (text == "none") return std::optional<absl::Duration>();
  const auto wait = ParseDuration(text);
  if (wait.ok()) return std::optional<absl::Duration>(*wait);
  return absl::InvalidArgumentError(
      absl::StrCat("--schema-wait: ", wait.status().message(), ", or none"));
}

std::map<std::string, std::string> WaitForSchemaMigrations(Client& client,
                                                           const GlobalOptions& global,
                                                           const TablesByTarget& wanted,
                                                           absl::Duration wait) {
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + wait;
  TablesByTarget left = wanted;
  std::map<std::string, std::string> in_the_way;
  bool told = false;
  while (true) {
    in_the_way.clear();
    for (const auto& [target, look] : LookAt(client, global, left)) {
      if (!look.problem.empty()) {
        std::cerr << "dunlin: whether a schema migration is at work on " << target
                  << " could not be found out: " << look.problem << std::endl;
      }
      if (look.locks.empty()) {
        left.erase(target);
      } else {
        in_the_way[target] = absl::StrJoin(look.locks, "; ");
      }
    }
    if (in_the_way.empty() || clock.Monotonic() >= until || Interrupted()) return in_the_way;
    if (!told) {
      for (const auto& [target, locks] : in_the_way) {
        std::cerr << "dunlin: a schema migration is at work on " << target << ": " << locks
                  << ". Waiting for up to " << HumanDuration(wait) << " (--schema-wait)"
                  << std::endl;
      }
    }
    told = true;
    clock.SleepFor(std::min(kLookAgain, until - clock.Monotonic()), {});
  }
}

absl::Status SchemaMigrationInTheWay(const std::string& migration, const std::string& target,
                                     const std::string& locks, const std::string& schema_wait) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          migration, " is not started: a schema migration is at work on ", target, ": ", locks,
          ". Waited ", schema_wait,
          " for its end (--schema-wait); start it when that is over, not from within it")),
      "SCHEMA_MIGRATION");
}

}  // namespace dunlin::cli
