#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/status_macros.h"
#include "coordinator/logic/pace.h"
#include "coordinator/store/definition_cache.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

void SetTime(const pg::Value& seconds, google::protobuf::Timestamp* (pb::Run::*mutable_time)(),
             pb::Run* run) {
  if (!seconds) return;
  const double number = Number(seconds);
  google::protobuf::Timestamp* out = (run->*mutable_time)();
  out->set_seconds(static_cast<int64_t>(std::floor(number)));
  out->set_nanos(static_cast<int>((number - std::floor(number)) * 1e9));
}

}  // namespace

double Number(const pg::Value& value) {
  double number = 0;
  return value && absl::SimpleAtod(*value, &number) ? number : 0;
}

pg::Value KeyToArray(bool present, const agent_pb::Key& key) {
  if (!present) return std::nullopt;
  return pg::EncodeTextArray({key.column_text().begin(), key.column_text().end()});
}

absl::Status ArrayToColumns(const pg::Value& array, std::vector<std::string>& columns) {
  columns.clear();
  if (!array) return absl::OkStatus();
  std::vector<pg::Value> values;
  DUNLIN_RETURN_IF_ERROR(pg::DecodeTextArray(*array, values));
  for (pg::Value& value : values) columns.push_back(std::move(value).value_or(""));
  return absl::OkStatus();
}

std::string DurationText(absl::Duration duration) {
  return absl::StrCat(absl::ToDoubleSeconds(duration));
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
}

absl::Status DecodeRun(const pg::Result& result, size_t row, pb::Run* run) {
  const std::vector<pg::Value>& columns = result.rows[row];
  run->set_run_id(result.Text(row, 0));
  run->set_migration(result.Text(row, 1));
  run->set_target(result.Text(row, 2));
  pb::Run::State state = pb::Run::STATE_UNSPECIFIED;
  if (!pb::Run::State_Parse(absl::StrCat("STATE_", result.Text(row, 3)), &state)) {
    return absl::DataLossError("a run has an unknown state");
  }
  run->set_state(state);
  run->set_reason(result.Text(row, 4));
  run->set_throttled_reason(result.Text(row, 5));
  const int64_t rows_done = result.Int(row, 6);
  // Never over 100 %, and exactly 100 % when done (trap 22): the estimate gives way to what was
  // counted.
  const bool counted = state == pb::Run::STATE_FINISHED || state == pb::Run::STATE_FINALIZING;
  int64_t rows_total = counted ? rows_done : std::max(rows_done, result.Int(row, 7));
  if (DUNLIN_MUTANT("percent_as_estimated")) rows_total = result.Int(row, 7);
  run->set_rows_done(rows_done);
  run->set_rows_total(rows_total);
  run->set_rows_changed(result.Int(row, 8));
  const bool moving = state == pb::Run::STATE_RUNNING;
  run->set_rows_per_second(moving ? Number(columns[9]) : 0);
  pb::Run::ShardCounts* shards = run->mutable_shards();
  shards->set_total(result.Int(row, 10));
  shards->set_done(result.Int(row, 11));
  shards->set_leased(result.Int(row, 12));
  shards->set_pending(shards->total() - shards->done() - shards->leased());
  run->set_error(result.Text(row, 13));
  run->set_revision(result.Int(row, 14));
  SetTime(columns[15], &pb::Run::mutable_create_time, run);
  SetTime(columns[16], &pb::Run::mutable_start_time, run);
  SetTime(columns[17], &pb::Run::mutable_finish_time, run);
  run->set_digest(result.Text(row, 18));
  run->set_operator_name(result.Text(row, 19));
  run->mutable_limits()->set_concurrency(static_cast<int>(result.Int(row, 20)));
  run->mutable_limits()->set_rows_per_second(result.Int(row, 21));
  SetDuration(absl::Milliseconds(result.Int(row, 22)),
              run->mutable_limits()->mutable_batch_time_duration());
  SetDuration(absl::Milliseconds(result.Int(row, 23)),
              run->mutable_limits()->mutable_pause_duration());
  run->set_concurrency_allowed(static_cast<int>(result.Int(row, 24)));
  run->set_step(static_cast<int>(result.Int(row, 25)) + 1);
  run->set_steps(static_cast<int>(result.Int(row, 26)));
  run->set_stop_after_rows(result.Int(row, 27));
  DUNLIN_ASSIGN_OR_RETURN(const auto parameters, ParseParameters(result.Text(row, 28)));
  run->mutable_parameters()->insert(parameters.begin(), parameters.end());
  run->set_batches_done(result.Int(row, 29));
  run->set_rows_quarantined(result.Int(row, 32));
  run->set_rows_accepted(result.Int(row, 33));
  if (moving) {
    const int64_t eta = EstimateEta(rows_done, rows_total, run->rows_per_second(),
                                    absl::Seconds(Number(columns[30])));
    if (eta >= 0) run->set_eta_seconds(eta);
  }
  run->set_superseded_by(result.Text(row, 34));
  SetTime(columns[35], &pb::Run::mutable_not_before_time, run);
  run->set_critical(result.Bool(row, 36));
  run->set_approved_by(result.Text(row, 37));
  pb::Run::Kind kind = pb::Run::KIND_UNSPECIFIED;
  if (!pb::Run::Kind_Parse(absl::StrCat("KIND_", absl::AsciiStrToUpper(result.Text(row, 38))),
                           &kind))
    return absl::DataLossError("a run is of an unknown kind");
  run->set_kind(kind);
  run->set_follows_run_id(result.Text(row, 39));
  run->set_followed_by_run_id(result.Text(row, 40));
  run->set_rows_left(result.Int(row, 41));
  std::vector<std::string> some_left;
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(columns[42], some_left));
  run->mutable_some_left()->Assign(some_left.begin(), some_left.end());
  SetTime(columns[43], &pb::Run::mutable_forget_time, run);
  SetTime(columns[44], &pb::Run::mutable_state_time, run);
  const auto parsed =
      ParsedBefore(run->migration() + ".yaml", absl::HexStringToBytes(result.Text(row, 31)));
  if (parsed.ok()) {
    const Definition& definition = **parsed;
    run->set_owner(definition.owner);
    run->set_description(definition.description);
    run->mutable_labels()->insert(definition.labels.begin(), definition.labels.end());
    for (const StepDefinition& step : definition.steps) {
      if (!step.is_once()) run->add_table(step.table);
    }
  }
  return absl::OkStatus();
}

absl::Status DecodeShard(const pg::Result& result, size_t row, pb::Shard* shard) {
  const std::vector<pg::Value>& columns = result.rows[row];
  shard->set_shard_id(result.Text(row, 0));
  shard->set_run_id(result.Text(row, 1));
  shard->set_step(static_cast<int>(result.Int(row, 2)) + 1);
  shard->set_relation(result.Text(row, 3));
  std::vector<std::string> key;
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(columns[4], key));
  shard->mutable_lower_key_text()->Assign(key.begin(), key.end());
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(columns[5], key));
  shard->mutable_upper_key_text()->Assign(key.begin(), key.end());
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(columns[6], key));
  shard->mutable_cursor_key_text()->Assign(key.begin(), key.end());
  const bool done = result.Bool(row, 7);
  const bool leased = result.Bool(row, 8);
  shard->set_state(done     ? pb::Shard::STATE_DONE
                   : leased ? pb::Shard::STATE_LEASED
                            : pb::Shard::STATE_PENDING);
  shard->set_epoch(result.Int(row, 9));
  shard->set_batches_done(result.Int(row, 10));
  shard->set_rows_done(result.Int(row, 11));
  shard->set_rows_changed(result.Int(row, 12));
  shard->set_rows_total(done ? result.Int(row, 11)
                             : std::max(result.Int(row, 11), result.Int(row, 13)));
  shard->set_agent_name(result.Text(row, 14));
  shard->set_waiting_reason(result.Text(row, 15));
  shard->set_revision(result.Int(row, 16));
  return absl::OkStatus();
}

void DecodeEvent(const pg::Result& result, size_t row, pb::RunEvent* event) {
  event->set_revision(result.Int(row, 0));
  const double at = Number(result.rows[row][1]);
  event->mutable_event_time()->set_seconds(static_cast<int64_t>(std::floor(at)));
  event->mutable_event_time()->set_nanos(static_cast<int>((at - std::floor(at)) * 1e9));
  event->set_kind(result.Text(row, 2));
  event->set_actor(result.Text(row, 3));
  event->set_reason(result.Text(row, 4));
  event->set_peer(result.Text(row, 5));
  event->set_shard_id(result.Text(row, 6));
  event->set_old_value(result.Text(row, 7));
  event->set_new_value(result.Text(row, 8));
}

}  // namespace dunlin::coordinator
