#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include <nlohmann/json_fwd.hpp>

namespace dunlin::coordinator {

// The body of a POST as the service behind a URL wants it: JSON text in which {{NAME}} stands for a
// field of a notice, {{labels.NAME}} for a label (none = empty) and {{NAME|slack}} for a text in
// which Slack finds no markup. Values are escaped as in a JSON string, so texts stand inside
// quotes; numbers may stand alone. Pure.
class NoticeTemplate {
 public:
  // `fields`: what every notice has, by name. INVALID_ARGUMENT, as FILE:LINE:COLUMN: there is no
  // such field, or what comes out would be no JSON.
  static absl::StatusOr<NoticeTemplate> Parse(const std::string& file, const std::string& text,
                                              const nlohmann::json& fields);
  // Always JSON.
  std::string Fill(const nlohmann::json& fields) const;

 private:
  struct Piece {
    std::string before;
    std::string name;  // empty behind the last placeholder
    bool for_slack = false;
  };
  std::vector<Piece> pieces_;
};

}  // namespace dunlin::coordinator
