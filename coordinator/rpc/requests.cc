#include "coordinator/rpc/requests.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include "common/limits.h"
#include "common/status_macros.h"

namespace dunlin::coordinator {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, " ", why));
}

absl::Status CheckKey(absl::string_view field, const agent_pb::Key& key) {
  if (key.column_text_size() > kMaxKeyColumns) return Invalid(field, "has too many columns");
  int64_t bytes = 0;
  for (const std::string& column : key.column_text()) bytes += static_cast<int64_t>(column.size());
  if (bytes > kMaxKeyBytes)
    return Invalid(field, absl::StrCat("is longer than ", kMaxKeyBytes, " bytes"));
  return absl::OkStatus();
}

absl::Status CheckDuration(absl::string_view field, const google::protobuf::Duration& duration) {
  using google::protobuf::util::TimeUtil;
  if (duration.seconds() < 0 || duration.nanos() < 0) return Invalid(field, "must not be negative");
  if (duration.seconds() > TimeUtil::kDurationMaxSeconds || duration.nanos() > 999'999'999)
    return Invalid(field, "is no duration");
  return absl::OkStatus();
}

absl::Status CheckTime(absl::string_view field, const google::protobuf::Timestamp& time) {
  using google::protobuf::util::TimeUtil;
  if (time.seconds() < TimeUtil::kTimestampMinSeconds ||
      time.seconds() > TimeUtil::kTimestampMaxSeconds || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    return Invalid(field, "is no time");
  }
  return absl::OkStatus();
}

absl::Status CheckMessage(absl::string_view field, const Message& value) {
  const auto* type = value.GetDescriptor();
  if (type == google::protobuf::Duration::descriptor())
    return CheckDuration(field, dynamic_cast<const google::protobuf::Duration&>(value));
  if (type == google::protobuf::Timestamp::descriptor())
    return CheckTime(field, dynamic_cast<const google::protobuf::Timestamp&>(value));
  if (type == agent_pb::Key::descriptor())
    DUNLIN_RETURN_IF_ERROR(CheckKey(field, dynamic_cast<const agent_pb::Key&>(value)));
  return CheckBounds(value);
}

absl::Status CheckString(const FieldDescriptor& field, const std::string& value) {
  const bool text = field.type() == FieldDescriptor::TYPE_STRING;
  DUNLIN_RETURN_IF_ERROR(
      CheckText(field.name(), value, text ? kMaxTextBytes : kMaxDefinitionBytes));
  if (text && value.find('\0') != std::string::npos)
    return Invalid(field.name(), "has a NUL character, which PostgreSQL cannot store");
  return absl::OkStatus();
}

// The value of a field, or the item of a list when `item` is not negative.
absl::Status CheckValue(const Message& message, const FieldDescriptor& field, int item) {
  const Reflection& reflection = *message.GetReflection();
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return CheckString(
          field, item < 0 ? reflection.GetStringReference(message, &field, &scratch)
                          : reflection.GetRepeatedStringReference(message, &field, item, &scratch));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return CheckMessage(field.name(), item < 0
                                            ? reflection.GetMessage(message, &field)
                                            : reflection.GetRepeatedMessage(message, &field, item));
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double number = item < 0 ? reflection.GetDouble(message, &field)
                                     : reflection.GetRepeatedDouble(message, &field, item);
      return std::isfinite(number) ? absl::OkStatus() : Invalid(field.name(), "is no number");
    }
    default:
      return absl::OkStatus();
  }
}

template <typename Request>
absl::Status CheckCommand(const Request& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("request_id", request.request_id(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("operator_name", request.operator_name(), kMaxNameBytes, true));
  return CheckText("reason", request.reason(), kMaxReasonBytes);
}

template <typename Request>
absl::Status CheckRunCommand(const Request& request) {
  DUNLIN_RETURN_IF_ERROR(CheckCommand(request));
  return CheckText("run", request.run(), kMaxNameBytes, true);
}

// A question about one run.
template <typename Request>
absl::Status CheckRunQuestion(const Request& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  return CheckText("run", request.run(), kMaxNameBytes, true);
}

absl::Status CheckStopAfter(int64_t rows) {
  return rows < 0 ? Invalid("stop_after_rows", "must not be negative") : absl::OkStatus();
}

absl::Status CheckLimits(const pb::ThrottleRunRequest& request) {
  if (!request.has_concurrency() && !request.has_rows_per_second() &&
      !request.has_batch_time_duration() && !request.has_ratio()) {
    return absl::InvalidArgumentError(
        "says nothing to change; expected concurrency, rows per second, batch time or ratio");
  }
  if (request.has_concurrency() && (request.concurrency() < 1 || request.concurrency() > 256))
    return absl::InvalidArgumentError("concurrency must be 1 to 256");
  if (request.has_rows_per_second() && request.rows_per_second() < 0)
    return absl::InvalidArgumentError("rows per second must not be negative; 0 = no limit");
  const double batch_seconds = static_cast<double>(request.batch_time_duration().seconds()) +
                               request.batch_time_duration().nanos() * 1e-9;
  if (request.has_batch_time_duration() && (batch_seconds < 0.005 || batch_seconds > 10))
    return absl::InvalidArgumentError("batch time must be 5ms to 10s");
  if (request.has_ratio() && !(request.ratio() > 0 && request.ratio() <= 1)) {
    return absl::InvalidArgumentError(
        "ratio must be over 0, up to 1; to stop a run altogether pause it");
  }
  if (request.has_for_duration() && request.for_duration().seconds() < 1)
    return absl::InvalidArgumentError("the duration must be at least a second");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(absl::string_view field, absl::string_view value, int64_t bytes_max,
                       bool required) {
  if (required && value.empty()) return Invalid(field, "is missing");
  if (static_cast<int64_t>(value.size()) > bytes_max)
    return Invalid(field, absl::StrCat("is longer than ", bytes_max, " bytes"));
  return absl::OkStatus();
}

absl::Status CheckBounds(const Message& request) {
  const Reflection& reflection = *request.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(request, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      DUNLIN_RETURN_IF_ERROR(CheckValue(request, *field, -1));
      continue;
    }
    const int items = reflection.FieldSize(request, field);
    if (items > kMaxListItems) return Invalid(field->name(), "has too many items");
    for (int item = 0; item < items; ++item)
      DUNLIN_RETURN_IF_ERROR(CheckValue(request, *field, item));
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(const Message& request) { return CheckBounds(request); }

absl::Status CheckRequest(const pb::StartRunRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckCommand(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("migration", request.migration(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("definition", request.definition(), kMaxDefinitionBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("target", request.target(), kMaxNameBytes));
  if (request.parameters_size() > kMaxParameters)
    return absl::InvalidArgumentError("too many parameters");
  if (request.priority() < 0 || request.priority() > 1000)
    return absl::InvalidArgumentError("priority must be 1 to 1000");
  return CheckStopAfter(request.stop_after_rows());
}

absl::Status CheckRequest(const pb::PauseRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::ResumeRunRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckRunCommand(request));
  return CheckStopAfter(request.stop_after_rows());
}

absl::Status CheckRequest(const pb::CancelRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::ApproveRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::RedoRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::UndoRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::ForgetRunRequest& request) { return CheckRunCommand(request); }

absl::Status CheckRequest(const pb::ThrottleRunRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckRunCommand(request));
  return CheckLimits(request);
}

absl::Status CheckRequest(const pb::PauseAllRunsRequest& request) { return CheckCommand(request); }

absl::Status CheckRequest(const pb::ResumeAllRunsRequest& request) { return CheckCommand(request); }

absl::Status CheckRequest(const pb::GetRunRequest& request) { return CheckRunQuestion(request); }

absl::Status CheckRequest(const pb::ListShardsRequest& request) {
  return CheckRunQuestion(request);
}

absl::Status CheckRequest(const pb::ListRunEventsRequest& request) {
  return CheckRunQuestion(request);
}

absl::Status CheckRequest(const pb::ListQuarantinedRowsRequest& request) {
  return CheckRunQuestion(request);
}

absl::Status CheckRequest(const pb::RetryQuarantinedRowsRequest& request) {
  return CheckRunCommand(request);
}

absl::Status CheckRequest(const pb::AcceptQuarantinedRowsRequest& request) {
  return CheckRunCommand(request);
}

absl::Status CheckRequest(const pb::WatchRunRequest& request) { return CheckRunQuestion(request); }

absl::Status CheckRequest(const pb::ResolveTargetsRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("migration", request.migration(), kMaxNameBytes, true));
  return CheckText("definition", request.definition(), kMaxDefinitionBytes, true);
}

absl::Status CheckRequest(const pb::CheckGateRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  return CheckText("migration", request.migration(), kMaxNameBytes, true);
}

absl::Status CheckRequest(const pb::BaselineMigrationRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckCommand(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("reason", request.reason(), kMaxReasonBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("migration", request.migration(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("definition", request.definition(), kMaxDefinitionBytes, true));
  return CheckText("target", request.target(), kMaxNameBytes);
}

absl::Status CheckRequest(const pb::LookForSchemaLocksRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("target", request.target(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("question_id", request.question_id(), kMaxNameBytes));
  if (request.table_size() > kMaxTablesPerQuestion)
    return absl::InvalidArgumentError("a question names 256 tables at most");
  for (const std::string& table : request.table())
    DUNLIN_RETURN_IF_ERROR(CheckText("table", table, kMaxNameBytes, true));
  return absl::OkStatus();
}

absl::Status CheckRequest(const pb::AdoptTargetRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckCommand(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("reason", request.reason(), kMaxReasonBytes, true));
  return CheckText("target", request.target(), kMaxNameBytes, true);
}

absl::Status CheckRequest(const pb::GetAdoptionRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  return CheckText("target", request.target(), kMaxNameBytes, true);
}

absl::Status CheckRequest(const agent_pb::RegisterAgentRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("name", request.name(), kMaxNameBytes, true));
  if (request.targets_size() < 1 || request.targets_size() > kMaxTargetsPerAgent)
    return absl::InvalidArgumentError("an agent serves 1 to 256 targets");
  for (const std::string& target : request.targets())
    DUNLIN_RETURN_IF_ERROR(CheckText("targets", target, kMaxNameBytes, true));
  if (request.slots() < 1 || request.slots() > kMaxSlotsPerAgent)
    return absl::InvalidArgumentError("slots must be 1 to 256");
  return absl::OkStatus();
}

absl::Status CheckRequest(const agent_pb::AcquireLeasesRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("request_id", request.request_id(), kMaxNameBytes, true));
  if (request.targets_size() > kMaxTargetsPerAgent)
    return absl::InvalidArgumentError("too many targets");
  return absl::OkStatus();
}

absl::Status CheckRequest(const agent_pb::HeartbeatRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  if (request.leases_size() > kMaxSlotsPerAgent)
    return absl::InvalidArgumentError("too many leases");
  for (const agent_pb::LeaseReport& lease : request.leases())
    DUNLIN_RETURN_IF_ERROR(CheckText("waiting_reason", lease.waiting_reason(), kMaxReasonBytes));
  return absl::OkStatus();
}

absl::Status CheckRequest(const agent_pb::ReportQuarantineRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  if (request.rows_size() > kMaxQuarantinedPerReport)
    return absl::InvalidArgumentError("too many rows");
  return absl::OkStatus();
}

absl::Status CheckRequest(const agent_pb::CompleteTaskRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  if (request.plan().shards_size() > kMaxShardsPerStep)
    return absl::InvalidArgumentError("a plan has too many shards");
  return CheckText("message", request.problem().message(), kMaxReasonBytes);
}

absl::Status CheckRequest(const agent_pb::ReleaseLeasesRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  if (request.releases_size() > kMaxLeasesPerCall)
    return absl::InvalidArgumentError("too many releases");
  for (const auto& release : request.releases())
    DUNLIN_RETURN_IF_ERROR(CheckText("message", release.problem().message(), kMaxReasonBytes));
  return absl::OkStatus();
}

absl::Status CheckRequest(const agent_pb::CompleteTargetTaskRequest& request) {
  DUNLIN_RETURN_IF_ERROR(CheckBounds(request));
  DUNLIN_RETURN_IF_ERROR(CheckText("task_id", request.task_id(), kMaxNameBytes, true));
  return CheckText("message", request.problem().message(), kMaxReasonBytes);
}

}  // namespace dunlin::coordinator
