#include "agent/work/error_action.h"

#include "absl/strings/match.h"

#include "common/pg/types.h"

namespace dunlin::agent {

ErrorAction ClassifyError(const absl::Status& status) {
  if (pg::IsConnectionLost(status)) return ErrorAction::kReconnect;
  const std::string state = pg::SqlStateOf(status);
  const auto in_class = [&](absl::string_view prefix) { return absl::StartsWith(state, prefix); };
  if (state == "DN001" || state == "DN003") return ErrorAction::kLeaseLost;
  if (state == "DN002") return ErrorAction::kStopped;
  // Statement timeout, lock timeout, deadlock: fewer rows hold fewer locks for a shorter time.
  if (state == "57014" || state == "55P03" || state == "40P01") return ErrorAction::kRetrySmaller;
  if (in_class("40") || in_class("53") || state == "25006" || in_class("55")) {
    return ErrorAction::kRetry;
  }
  if (in_class("57") || in_class("08") || in_class("25")) return ErrorAction::kReconnect;
  // P0: raised by a trigger or a function about this row; 44: WITH CHECK OPTION; 21: more than one
  // row in a sub-select.
  if (in_class("22") || in_class("23") || in_class("P0") || in_class("44") || in_class("21") ||
      in_class("2F") || in_class("38") || in_class("39") || in_class("09")) {
    return ErrorAction::kBisect;
  }
  if (in_class("42") || in_class("0A") || in_class("3F") || in_class("3D") || in_class("28") ||
      state == "DN007" || state == "DN009" || in_class("54") || in_class("2B") || in_class("0L") ||
      in_class("0P")) {
    return ErrorAction::kFailRun;
  }
  if (status.code() == absl::StatusCode::kUnavailable) return ErrorAction::kReconnect;
  // XX000, 58xxx and what is not known: may be one row's (a broken index entry) or the server's;
  // retried with back-off.
  return ErrorAction::kRetry;
}

}  // namespace dunlin::agent
