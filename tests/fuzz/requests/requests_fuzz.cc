#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include "common/limits.h"
#include "coordinator/rpc/requests.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace agent_pb = ::dunlin::agent::v1;
namespace pb = ::dunlin::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct Kind {
  const google::protobuf::Descriptor* type;
  // Decodes, and asks what the handler asks; nothing when the bytes are no such message.
  std::function<std::unique_ptr<Message>(const std::string& bytes, absl::Status& checked)> decode;
};

template <typename Request>
Kind KindOf() {
  return {Request::descriptor(), [](const std::string& bytes, absl::Status& checked) {
            auto request = std::make_unique<Request>();
            if (!request->ParseFromString(bytes)) return std::unique_ptr<Message>();
            checked = dunlin::coordinator::CheckRequest(*request);
            return std::unique_ptr<Message>(std::move(request));
          }};
}

// The first byte of an input and of a seed's name is the place in this list: new ones go to the
// end.
const std::vector<Kind>& Kinds() {
  static const auto* const kinds = new std::vector<Kind>{
      KindOf<pb::StartRunRequest>(),
      KindOf<pb::PauseRunRequest>(),
      KindOf<pb::ResumeRunRequest>(),
      KindOf<pb::CancelRunRequest>(),
      KindOf<pb::GetRunRequest>(),
      KindOf<pb::ListRunsRequest>(),
      KindOf<pb::ListShardsRequest>(),
      KindOf<pb::ListRunEventsRequest>(),
      KindOf<pb::ListQuarantinedRowsRequest>(),
      KindOf<pb::RetryQuarantinedRowsRequest>(),
      KindOf<pb::AcceptQuarantinedRowsRequest>(),
      KindOf<pb::WatchRunRequest>(),
      KindOf<pb::ResolveTargetsRequest>(),
      KindOf<pb::CheckGateRequest>(),
      KindOf<pb::ListAgentsRequest>(),
      KindOf<agent_pb::RegisterAgentRequest>(),
      KindOf<agent_pb::AcquireLeasesRequest>(),
      KindOf<agent_pb::HeartbeatRequest>(),
      KindOf<agent_pb::ReportSplitRequest>(),
      KindOf<agent_pb::ReportQuarantineRequest>(),
      KindOf<agent_pb::CompleteShardRequest>(),
      KindOf<agent_pb::CompleteTaskRequest>(),
      KindOf<agent_pb::ReleaseLeasesRequest>(),
      KindOf<agent_pb::CompleteTargetTaskRequest>(),
      KindOf<pb::ApproveRunRequest>(),
      KindOf<pb::RedoRunRequest>(),
      KindOf<pb::PauseAllRunsRequest>(),
      KindOf<pb::ResumeAllRunsRequest>(),
      KindOf<pb::BaselineMigrationRequest>(),
      KindOf<pb::ThrottleRunRequest>(),
      KindOf<pb::UndoRunRequest>(),
      KindOf<pb::ForgetRunRequest>(),
      KindOf<pb::LookForSchemaLocksRequest>(),
      KindOf<pb::AdoptTargetRequest>(),
      KindOf<pb::GetAdoptionRequest>(),
  };
  return *kinds;
}

// Every method of every service is fuzzed: who adds one adds its request above.
void RequireComplete() {
  std::set<std::string> fuzzed;
  for (const Kind& kind : Kinds()) fuzzed.insert(kind.type->full_name());
  for (const auto* file :
       {pb::StartRunRequest::descriptor()->file(), pb::CheckGateRequest::descriptor()->file(),
        pb::ListAgentsRequest::descriptor()->file(),
        agent_pb::HeartbeatRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        FUZZ_REQUIRE(fuzzed.contains(method->input_type()->full_name()),
                     absl::StrCat("nothing fuzzes ", method->full_name()));
      }
    }
  }
}

// What the store may rely on, by reflection and apart from the code that is tested: no text is cut
// by a NUL or without bounds, no list is, every number is one.
void RequireBounded(const Message& message) {
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int items = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    FUZZ_REQUIRE(items <= (1 << 20), field->full_name());
    for (int i = 0; i < items; ++i) {
      const bool many = field->is_repeated();
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        RequireBounded(many ? reflection.GetRepeatedMessage(message, field, i)
                            : reflection.GetMessage(message, field));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        const std::string text = many ? reflection.GetRepeatedString(message, field, i)
                                      : reflection.GetString(message, field);
        const bool bytes = field->type() == FieldDescriptor::TYPE_BYTES;
        FUZZ_REQUIRE(text.size() <= (bytes ? 1U << 20 : 8192U), field->full_name());
        FUZZ_REQUIRE(bytes || text.find('\0') == text.npos, field->full_name());
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE && !many) {
        FUZZ_REQUIRE(std::isfinite(reflection.GetDouble(message, field)), field->full_name());
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // a line for each text that is not UTF-8
  RequireComplete();
  return 0;
}

// Any bytes have an answer: no message, a refusal that says why without quoting, or a request
// within its limits.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::fuzz::Input input(data, size);
  const Kind& kind = Kinds()[input.Byte() % Kinds().size()];
  absl::Status checked;
  const std::unique_ptr<Message> request = kind.decode(input.Rest(), checked);
  if (request == nullptr) return 0;
  if (checked.ok()) {
    RequireBounded(*request);
  } else {
    FUZZ_REQUIRE(absl::IsInvalidArgument(checked), checked.ToString());
    FUZZ_REQUIRE(!checked.message().empty() && checked.message().size() < 200, "a sentence");
  }
  return 0;
}
