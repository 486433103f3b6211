#include "common/pg/error.h"

#include <map>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/fault.h"

namespace dunlin::pg {
namespace {

constexpr absl::string_view kServerPayload = "dunlin/pg";
constexpr absl::string_view kLostPayload = "dunlin/pg-lost";
constexpr absl::string_view kRefusedPayload = "dunlin/pg-refused";
// Cannot occur in identifiers or messages of the server.
constexpr char kSeparator = '\x1f';

bool MessageIsSafe(absl::string_view state) {
  if (DUNLIN_MUTANT("row_value_in_message")) return true;
  for (const absl::string_view prefix : {"42", "DN", "0A", "3D", "3F", "28"}) {
    if (absl::StartsWith(state, prefix)) return true;
  }
  return state == "53300" || state == "57P03";
}

absl::StatusCode CodeOf(absl::string_view state) {
  const auto in_class = [&](absl::string_view prefix) { return absl::StartsWith(state, prefix); };
  if (state == "42501") return absl::StatusCode::kPermissionDenied;
  if (state == "57014") return absl::StatusCode::kDeadlineExceeded;
  if (in_class("28")) return absl::StatusCode::kUnauthenticated;
  if (in_class("42") || in_class("3F") || in_class("3D") || in_class("0A") || in_class("54")) {
    return absl::StatusCode::kFailedPrecondition;
  }
  if (in_class("40") || in_class("55") || in_class("DN")) return absl::StatusCode::kAborted;
  if (in_class("57") || in_class("08") || state == "25006" || state == "25P03")
    return absl::StatusCode::kUnavailable;
  if (in_class("53")) return absl::StatusCode::kResourceExhausted;
  if (in_class("22") || in_class("23") || in_class("P0") || in_class("44") || in_class("21")) {
    return absl::StatusCode::kInvalidArgument;
  }
  return absl::StatusCode::kInternal;
}

std::string Sentence(const ServerError& error) {
  std::string text = DescribeSqlState(error.sqlstate);
  std::string where;
  if (!error.table.empty()) {
    where = absl::StrCat(" on table ", error.schema.empty() ? "" : absl::StrCat(error.schema, "."),
                         error.table);
  }
  if (!error.column.empty()) absl::StrAppend(&where, ", column ", error.column);
  if (!error.constraint.empty()) absl::StrAppend(&where, ", constraint ", error.constraint);
  return absl::StrCat(text, where);
}

}  // namespace

std::string DescribeSqlState(absl::string_view sqlstate) {
  static const auto* names = new std::map<absl::string_view, absl::string_view>{
      {"22001", "value too long for its column"},
      {"22003", "number out of range"},
      {"22007", "invalid date or time"},
      {"22008", "date or time out of range"},
      {"22012", "division by zero"},
      {"22P02", "text that is not of the type asked for"},
      {"22P05", "character that cannot be converted"},
      {"21000", "more than one row where one is expected"},
      {"23502", "NOT NULL violation"},
      {"23503", "foreign key violation"},
      {"23505", "unique violation"},
      {"23514", "check violation"},
      {"23P01", "exclusion violation"},
      {"25006", "the server is read-only (a standby, or in recovery)"},
      {"25P03", "the server ended a transaction that was idle for too long"},
      {"40001", "serialization failure"},
      {"40P01", "deadlock"},
      {"44000", "WITH CHECK OPTION violation"},
      {"53100", "disk full"},
      {"53200", "out of memory"},
      {"53300", "too many connections"},
      {"55P03", "a lock was not granted in time (lock_timeout)"},
      {"57014", "the statement was cancelled (statement_timeout)"},
      {"57P01", "the connection was ended by an administrator"},
      {"57P02", "the server crashed"},
      {"57P03", "the server is starting up or shutting down"},
      {"P0001", "an exception raised by a function or trigger"},
      {"58030", "input/output error of the server"},
      {"XX000", "internal error of the server"},
      {"XX001", "corrupted data"},
      {"XX002", "corrupted index"}};
  static const auto* classes =
      new std::map<absl::string_view, absl::string_view>{{"08", "connection failure"},
                                                         {"22", "data exception"},
                                                         {"23", "constraint violation"},
                                                         {"40", "transaction rolled back"},
                                                         {"42", "error in the SQL"},
                                                         {"53", "insufficient resources"},
                                                         {"54", "limit of the server exceeded"},
                                                         {"55", "object not ready"},
                                                         {"57", "operator intervention"},
                                                         {"58", "system error of the server"},
                                                         {"P0", "error in a function"},
                                                         {"XX", "internal error of the server"}};
  auto found = names->find(sqlstate);
  absl::string_view name = "database error";
  if (found != names->end()) {
    name = found->second;
  } else if (const auto by_class = classes->find(sqlstate.substr(0, 2));
             by_class != classes->end()) {
    name = by_class->second;
  }
  return absl::StrCat(name, " (", sqlstate, ")");
}

absl::Status MakeServerStatus(ServerError error) {
  if (!MessageIsSafe(error.sqlstate) || error.message.empty()) error.message = Sentence(error);
  absl::Status status(CodeOf(error.sqlstate), error.message);
  const std::vector<std::string> fields = {error.sqlstate, error.message, error.schema,
                                           error.table,    error.column,  error.constraint};
  status.SetPayload(kServerPayload, absl::Cord(absl::StrJoin(fields, std::string(1, kSeparator))));
  return status;
}

absl::Status MakeConnectionLost(absl::StatusCode code, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kLostPayload, absl::Cord("1"));
  return status;
}

absl::Status MakeConnectionRefused(absl::string_view message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(kRefusedPayload, absl::Cord("1"));
  return status;
}

std::optional<ServerError> GetServerError(const absl::Status& status) {
  const auto payload = status.GetPayload(kServerPayload);
  if (!payload) return std::nullopt;
  const std::vector<std::string> fields = absl::StrSplit(std::string(*payload), kSeparator);
  if (fields.size() != 6) return std::nullopt;
  return ServerError{.sqlstate = fields[0],
                     .message = fields[1],
                     .schema = fields[2],
                     .table = fields[3],
                     .column = fields[4],
                     .constraint = fields[5]};
}

std::string SqlStateOf(const absl::Status& status) {
  const auto error = GetServerError(status);
  return error ? error->sqlstate : std::string();
}

bool IsConnectionLost(const absl::Status& status) {
  return status.GetPayload(kLostPayload).has_value();
}

bool IsServerDown(const absl::Status& status) {
  return status.GetPayload(kRefusedPayload).has_value() || SqlStateOf(status) == "57P03";
}

}  // namespace dunlin::pg
