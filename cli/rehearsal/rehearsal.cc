#include "cli/rehearsal/rehearsal.h"

#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/client.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/rehearsal/interrupter.h"

#include "agent/agent.h"
#include "agent/ledger/statements.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/migration/test_file.h"
#include "common/status_macros.h"
#include "coordinator/coordinator.h"

namespace dunlin::cli {
namespace {

// Far more than any step of so few rows takes, the waits of a run for locks and back-off included.
constexpr absl::Duration kStandsStill = absl::Seconds(30);
// How long a run that waits for something of its own file (`requires`) is waited for: nobody is
// there to bring it about.
constexpr absl::Duration kWaitsForNothing = absl::Seconds(3);
// Of a call of the process that is gone: far longer than it takes to revoke its leases.
constexpr absl::Duration kHold = absl::Seconds(10);
// A look is a transaction of the store. A kill wakes the one who waits for it at once.
constexpr absl::Duration kPoll = absl::Milliseconds(25);
constexpr absl::Duration kPollBetweenKills = absl::Milliseconds(100);

// Follows a run by asking for it: the coordinator is in this process.
class Follower {
 public:
  Follower(Client& client, std::string run) : client_(client), run_(std::move(run)) {}

  // nullopt = it goes on.
  std::optional<absl::StatusOr<pb::Run>> Look() {
    if (Interrupted()) return absl::CancelledError("stopped; the scratch database is dropped");
    auto run = client_.GetRun(run_);
    if (!run.ok()) return run;
    switch (run->state()) {
      case pb::Run::STATE_FINISHED:
        return run;
      case pb::Run::STATE_PAUSED:
      case pb::Run::STATE_FAILED:
      case pb::Run::STATE_CANCELLED:
        return absl::AbortedError(
            absl::StrCat("the run ends ", StateName(run->state()), ": ",
                         run->error().empty() ? run->reason() : run->error()));
      default:
        return StandsStill(*run);
    }
  }
  void Interruption() { since_ = SystemClock().Monotonic(); }

 private:
  std::optional<absl::StatusOr<pb::Run>> StandsStill(const pb::Run& run) {
    const absl::Duration now = SystemClock().Monotonic();
    const std::string at = absl::StrCat(run.state(), " ", run.step(), " ", run.rows_done(), " ",
                                        run.batches_done(), " ", run.shards().done());
    if (at != at_) {
      at_ = at;
      since_ = now;
    }
    const bool waits = run.state() == pb::Run::STATE_PENDING && !run.reason().empty();
    if (now - since_ < (waits ? kWaitsForNothing : kStandsStill)) return std::nullopt;
    const std::string reason = WaitReason(run);
    return absl::AbortedError(absl::StrCat(
        waits ? "the run does not begin" : "the run stands still", " in state ",
        StateName(run.state()), reason.empty() ? "" : absl::StrCat(": ", reason),
        waits ? "; `schema` and `rows` of the test must bring about what the migration requires"
              : ""));
  }

  Client& client_;
  const std::string run_;
  std::string at_;
  absl::Duration since_ = SystemClock().Monotonic();
};

absl::StatusOr<std::string> Start(Client& client, const std::string& name,
                                  const std::string& definition, const RehearsalOptions& options) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> targets,
                          client.ResolveTargets(name, definition));
  pb::StartRunRequest request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("dunlin test");
  request.set_reason("test");
  request.set_migration(name);
  request.set_definition(definition);
  request.set_target(targets.at(0));
  for (const auto& [parameter, value] : options.parameters)
    (*request.mutable_parameters())[parameter] = value;
  DUNLIN_ASSIGN_OR_RETURN(const pb::StartRunResponse started, client.StartRun(request));
  return started.run().run_id();
}

}  // namespace

std::string RehearsedDefinition(const std::string& file) {
  return WithoutTopFields(file, {"target", "depends_on", "supersedes", "critical", "limits",
                                 "windows", "on_pressure", "priority"});
}

absl::StatusOr<Rehearsed> Rehearse(const Secret& dsn, const std::string& database,
                                   const std::string& name, const std::string& definition,
                                   const RehearsalOptions& options) {
  DUNLIN_ASSIGN_OR_RETURN(const auto coordinator,
                          coordinator::Coordinator::Make({.store_dsn = dsn, .local = true}));
  const auto channel = coordinator->InProcessChannel();
  Client client({channel}, absl::StrCat("scratch database ", database));
  DUNLIN_ASSIGN_OR_RETURN(const std::string run, Start(client, name, definition, options));
  Interrupter interrupter(kHold, agent::sql::kAdvance.name);
  Follower follower(client, run);
  std::optional<absl::StatusOr<pb::Run>> ended;
  while (!ended) {
    DUNLIN_ASSIGN_OR_RETURN(
        const auto agent,
        agent::Agent::Make({.coordinators = {channel},
                            .targets = {{database, {.dsn = dsn}}},
                            .slots = options.shards,
                            .any_migration = true,
                            .name = "test",
                            .batch_rows = options.batch_rows,
                            .shards = options.shards,
                            .watch = options.interrupted ? &interrupter : nullptr}));
    std::jthread worker([&](std::stop_token stop) { agent->Run(stop); });
    const absl::Duration poll = options.interrupted ? kPollBetweenKills : kPoll;
    while (!ended && !interrupter.WaitUntilKilled(poll)) ended = follower.Look();
    // What `local` does when it is started again after a crash. Before the calls in work end: of
    // what a dead process had found out nothing is told.
    absl::Status revoked;
    if (!ended) revoked = coordinator->RevokeAllLeases("interrupted by the test");
    interrupter.Release();
    worker.request_stop();
    worker.join();
    if (ended) break;
    DUNLIN_RETURN_IF_ERROR(revoked);
    follower.Interruption();
    interrupter.Revive();
    ended = follower.Look();
  }
  coordinator->Shutdown();
  DUNLIN_RETURN_IF_ERROR(ended->status());
  return Rehearsed{.rows_done = (*ended)->rows_done(), .kills = interrupter.kills()};
}

}  // namespace dunlin::cli
