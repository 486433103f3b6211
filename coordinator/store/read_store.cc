// What operators see.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/limits.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

// One message of a watch holds so many events and shards at most; what is beyond comes in the next.
constexpr int kMaxEventsPerMessage = 1000;

absl::Status CheckToken(const std::string& token) {
  if (token.size() > 64) return absl::InvalidArgumentError("page_token is not one that was given");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0) return absl::InvalidArgumentError("page_size must not be negative");
  return asked == 0 ? kDefaultPageSize : std::min(asked, kMaxPageSize);
}

absl::StatusOr<pb::Run> Store::GetRun(const std::string& name) {
  pb::Run run;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        run.Clear();
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, name));
        return ReadRunInto(tx, id, &run);
      },
      true));
  return run;
}

absl::StatusOr<pb::ListRunsResponse> Store::ListRuns(const pb::ListRunsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  DUNLIN_RETURN_IF_ERROR(CheckToken(request.page_token()));
  pb::ListRunsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        response.Clear();
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result result,
            tx.Query(sql::kListRuns, {Bool(request.live_only()), request.page_token(),
                                      absl::StrCat(size), Bool(request.with_failed())}));
        for (size_t row = 0; row < result.rows.size(); ++row)
          DUNLIN_RETURN_IF_ERROR(
              DecodeRunInto(tx, result, row, request.with_signals(), response.add_runs()));
        if (response.runs_size() == size)
          response.set_next_page_token(response.runs(size - 1).run_id());
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<pb::ListShardsResponse> Store::ListShards(const pb::ListShardsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  DUNLIN_RETURN_IF_ERROR(CheckToken(request.page_token()));
  pb::ListShardsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        response.Clear();
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result result,
            tx.Query(sql::kListShards, {id, request.page_token(), absl::StrCat(size)}));
        for (size_t row = 0; row < result.rows.size(); ++row)
          DUNLIN_RETURN_IF_ERROR(DecodeShard(result, row, response.add_shards()));
        if (response.shards_size() == size)
          response.set_next_page_token(response.shards(size - 1).shard_id());
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<pb::ListRunEventsResponse> Store::ListRunEvents(
    const pb::ListRunEventsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  int64_t after = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &after)) {
    return absl::InvalidArgumentError("page_token is not one that was given");
  }
  pb::ListRunEventsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        response.Clear();
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result result,
            tx.Query(sql::kListEvents,
                     {id, absl::StrCat(after), Bool(request.audit_only()), absl::StrCat(size)}));
        for (size_t row = 0; row < result.rows.size(); ++row)
          DecodeEvent(result, row, response.add_events());
        if (response.events_size() == size)
          response.set_next_page_token(absl::StrCat(response.events(size - 1).revision()));
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<pb::ListAgentsResponse> Store::ListAgents(const pb::ListAgentsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  DUNLIN_RETURN_IF_ERROR(CheckToken(request.page_token()));
  pb::ListAgentsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        response.Clear();
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result result,
            tx.Query(sql::kListAgents,
                     {request.page_token(), DurationText(options_.lease_ttl), absl::StrCat(size)}));
        for (size_t row = 0; row < result.rows.size(); ++row) {
          pb::Agent* agent = response.add_agents();
          agent->set_agent_id(result.Text(row, 0));
          agent->set_name(result.Text(row, 1));
          agent->set_version(result.Text(row, 2));
          std::vector<std::string> targets;
          DUNLIN_RETURN_IF_ERROR(ArrayToColumns(result.rows[row][3], targets));
          agent->mutable_targets()->Assign(targets.begin(), targets.end());
          agent->set_slots(static_cast<int>(result.Int(row, 4)));
          agent->set_slots_used(static_cast<int>(result.Int(row, 5)));
          double at = 0;
          if (absl::SimpleAtod(result.Text(row, 6), &at))
            agent->mutable_register_time()->set_seconds(static_cast<int64_t>(at));
          if (absl::SimpleAtod(result.Text(row, 7), &at))
            agent->mutable_last_heartbeat_time()->set_seconds(static_cast<int64_t>(at));
          agent->set_connected(result.Bool(row, 8));
        }
        if (response.agents_size() == size)
          response.set_next_page_token(response.agents(size - 1).agent_id());
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<std::vector<std::pair<std::string, int64_t>>> Store::ListRevisions(
    const std::vector<std::string>& run_ids) {
  std::vector<std::pair<std::string, int64_t>> revisions;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        revisions.clear();
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                                tx.Query(sql::kRevisions, {pg::EncodeTextArray(run_ids)}));
        for (size_t row = 0; row < result.rows.size(); ++row)
          revisions.emplace_back(result.Text(row, 0), result.Int(row, 1));
        return absl::OkStatus();
      },
      true));
  return revisions;
}

// REPEATABLE READ: events, shards and the run's row are of one moment, so that nothing falls
// between two messages (I11).
absl::StatusOr<WatchDelta> Store::ReadChanges(const std::string& run_id, int64_t revision) {
  WatchDelta delta;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        delta = WatchDelta{.snapshot = revision == 0};
        DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, run_id, &delta.run));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result kept, tx.Query(sql::kOldestRevision, {run_id}));
        if (revision > 0 && revision < kept.Int(0, 0)) {
          return WithReason(
              absl::OutOfRangeError(absl::StrCat("changes up to revision ", kept.Int(0, 0),
                                                 " are no longer kept; begin with a snapshot")),
              "REVISION_COMPACTED");
        }
        if (revision > delta.run.revision()) {
          return absl::OutOfRangeError(absl::StrCat(
              "revision ", revision, " is not reached yet; the run is at ", delta.run.revision()));
        }
        delta.revision = delta.run.revision();
        if (!delta.snapshot) {
          DUNLIN_ASSIGN_OR_RETURN(
              const pg::Result events,
              tx.Query(sql::kListEvents, {run_id, absl::StrCat(revision), "false",
                                          absl::StrCat(kMaxEventsPerMessage)}));
          for (size_t row = 0; row < events.rows.size(); ++row)
            DecodeEvent(events, row, &delta.events.emplace_back());
          if (delta.events.size() == kMaxEventsPerMessage &&
              !DUNLIN_MUTANT("watch_skips_a_revision")) {
            delta.revision = delta.events.back().revision();  // the rest comes in the next message
          }
        }
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result shards,
            // A shard that changed again behind delta.revision comes with the next message.
            tx.Query(sql::kReadShards,
                     {run_id, absl::StrCat(delta.snapshot ? -1 : revision),
                      absl::StrCat(kMaxShardsPerStep), absl::StrCat(delta.revision)}));
        for (size_t row = 0; row < shards.rows.size(); ++row) {
          DUNLIN_RETURN_IF_ERROR(DecodeShard(shards, row, &delta.shards.emplace_back()));
        }
        return absl::OkStatus();
      },
      true));
  return delta;
}

}  // namespace dunlin::coordinator
