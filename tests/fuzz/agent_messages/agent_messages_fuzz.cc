#include <algorithm>
#include <variant>

#include <google/protobuf/stubs/logging.h>

#include "dunlin/agent/v1/agent_service.pb.h"

#include "agent/control/proto_convert.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace pb = ::dunlin::agent::v1;
using namespace dunlin::agent;

void RequireSameKey(bool present, const pb::Key& sent, const dunlin::OptionalKey& got) {
  FUZZ_REQUIRE(got.has_value() == present, "a key appears or vanishes");
  if (!present) return;
  pb::Key back;
  ToProto(*got, &back);
  FUZZ_REQUIRE(std::equal(back.column_text().begin(), back.column_text().end(),
                          sent.column_text().begin(), sent.column_text().end()),
               "a key changes");
}

// I2: an agent works on the range that it was given, column by column.
void RequireSameShard(const pb::ShardLease& sent, const ShardWork& got) {
  FUZZ_REQUIRE(got.id.value() == sent.shard_id() && got.epoch.value() == sent.epoch(), "shard");
  FUZZ_REQUIRE(got.relation == sent.relation() && got.step == sent.step(), "relation");
  RequireSameKey(sent.has_lower(), sent.lower(), got.lower);
  RequireSameKey(sent.has_upper(), sent.upper(), got.upper);
}

void RequireLease(const std::string& bytes) {
  pb::Lease sent;
  if (!sent.ParseFromString(bytes)) return;
  const absl::StatusOr<Lease> got = FromProto(sent);
  if (!got.ok()) {
    FUZZ_REQUIRE(!sent.has_shard(), "work that every agent knows is refused");
    return;
  }
  FUZZ_REQUIRE(got->id.value() == sent.lease_id(), "lease");
  FUZZ_REQUIRE(got->run.definition == sent.run().definition(), "definition (I9)");
  if (const auto* shard = std::get_if<ShardWork>(&got->work)) {
    FUZZ_REQUIRE(sent.has_shard(), "a task becomes a shard");
    return RequireSameShard(sent.shard(), *shard);
  }
  FUZZ_REQUIRE(sent.has_task(), "nothing becomes a task");
  const auto& task = std::get<TaskWork>(got->work);
  FUZZ_REQUIRE(task.task_epoch.value() == sent.task().task_epoch(), "task epoch");
  FUZZ_REQUIRE(task.shard.has_value() == sent.task().has_shard(), "shard of a task");
  if (task.shard) RequireSameShard(sent.task().shard(), *task.shard);
}

// Directives that an agent does not know must not cost it the lease, and LOST is never missed.
void RequireDirective(const std::string& bytes) {
  pb::LeaseDirective sent;
  if (!sent.ParseFromString(bytes)) return;
  const Directive got = FromProto(sent);
  FUZZ_REQUIRE((got.action == Directive::Action::kLost) ==
                   (sent.action() == pb::LeaseDirective::ACTION_LOST),
               "LOST");
  FUZZ_REQUIRE((got.action == Directive::Action::kStop) ==
                   (sent.action() == pb::LeaseDirective::ACTION_STOP),
               "STOP");
}

void RequireTargetTask(const std::string& bytes) {
  pb::TargetTask sent;
  if (!sent.ParseFromString(bytes)) return;
  const absl::StatusOr<TargetTask> got = FromProto(sent);
  FUZZ_REQUIRE(got.ok() == (sent.request_case() != pb::TargetTask::REQUEST_NOT_SET), "known");
  if (got.ok()) FUZZ_REQUIRE(got->id == sent.task_id() && got->target == sent.target(), "task");
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // a line for each text that is not UTF-8
  return 0;
}

// What coordinators send to agents, decoded and converted. The first byte says which message it is.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::fuzz::Input input(data, size);
  switch (input.Byte() % 3) {
    case 0:
      RequireLease(input.Rest());
      break;
    case 1:
      RequireDirective(input.Rest());
      break;
    default:
      RequireTargetTask(input.Rest());
      break;
  }
  return 0;
}
