#pragma once

#include "common/migration/yaml_fields.h"

namespace dunlin {

// What must hold before YAML is read: a size within kMaxDefinitionBytes, UTF-8 without NUL bytes,
// no tab at the beginning of a line. yaml-cpp would replace broken bytes and read some tabs as
// text.
void CheckRawText(ProblemList& problems);

}  // namespace dunlin
