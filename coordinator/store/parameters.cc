#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {

absl::StatusOr<std::map<std::string, std::string>> ParseParameters(const std::string& json) {
  google::protobuf::Struct parsed;
  if (!google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) {
    return absl::DataLossError("the parameters of a run are not JSON");
  }
  std::map<std::string, std::string> parameters;
  for (const auto& [name, value] : parsed.fields()) parameters[name] = value.string_value();
  return parameters;
}

absl::StatusOr<std::string> ParametersToJson(const std::map<std::string, std::string>& parameters) {
  google::protobuf::Struct made;
  for (const auto& [name, value] : parameters)
    (*made.mutable_fields())[name].set_string_value(value);
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(made, &json).ok()) {
    return absl::InvalidArgumentError("a parameter's value is not valid UTF-8");
  }
  return json;
}

}  // namespace dunlin::coordinator
