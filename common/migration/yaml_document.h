// A file's text as YAML. Only the parsers' own files include this.
#pragma once

#include <optional>

#include <yaml-cpp/yaml.h>

#include "common/migration/yaml_fields.h"

namespace dunlin {

// The one document of the text of `problems`; nothing when a problem was added. Never throws.
std::optional<YAML::Node> LoadDocument(ProblemList& problems);

}  // namespace dunlin
