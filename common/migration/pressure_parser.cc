#include "common/migration/pressure_parser.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/migration/step_parser.h"
#include "common/text/bytes.h"
#include "common/text/duration.h"

namespace dunlin {
namespace {

std::optional<double> ReadNumber(absl::string_view text, bool whole) {
  double number = 0;
  if (!absl::SimpleAtod(text, &number) || !(number >= 0) || number > 1e9) return std::nullopt;
  if (whole && number != static_cast<double>(static_cast<int64_t>(number))) return std::nullopt;
  return number;
}

const char* Expected(SignalUnit unit) {
  switch (unit) {
    case SignalUnit::kCount:
      return "a number, or off";
    case SignalUnit::kSeconds:
      return "a duration such as 5s, or off";
    case SignalUnit::kBytes:
      return "a size such as 500MB, or off";
    case SignalUnit::kBytesPerSecond:
      return "a size such as 50MB (a second), or off";
    case SignalUnit::kFactor:
      return "a number such as 2.5, or off";
    case SignalUnit::kSql:
      return "a query";
  }
  return "";
}

std::optional<double> ReadLimit(SignalUnit unit, absl::string_view text) {
  if (text == "off" || text == "false") return std::numeric_limits<double>::infinity();
  switch (unit) {
    case SignalUnit::kCount:
      return ReadNumber(text, true);
    case SignalUnit::kFactor:
      return ReadNumber(text, false);
    case SignalUnit::kSeconds: {
      const auto duration = ParseDuration(text);
      if (!duration.ok()) return std::nullopt;
      return absl::ToDoubleSeconds(*duration);
    }
    case SignalUnit::kBytes:
    case SignalUnit::kBytesPerSecond: {
      const auto bytes = ParseBytes(text);
      if (!bytes.ok()) return std::nullopt;
      return static_cast<double>(*bytes);
    }
    case SignalUnit::kSql:
      break;
  }
  return std::nullopt;
}

}  // namespace

OnPressure ReadOnPressure(const YamlField& field, ProblemList& problems) {
  OnPressure result;
  if (!field.value.IsMap()) {
    AddWrongType(field, "a mapping of signals and their limits", problems);
    return result;
  }
  FieldNames names;
  for (const SignalInfo& info : AllSignals()) names.known.emplace_back(info.name);
  for (const auto& [name, limit] : ReadFields(field.value, field.path, names, problems)) {
    const SignalKind kind = *SignalFromName(name);
    const SignalUnit unit = InfoOf(kind).unit;
    if (unit == SignalUnit::kSql) {
      const StatementRules rules = {.batch = StatementRules::Placeholder::kForbidden,
                                    .table = StatementRules::Placeholder::kForbidden,
                                    .only_reads = true};
      auto sql = ReadStatement(limit, rules, {}, problems);
      if (sql) result.check = std::move(sql->text);
      continue;
    }
    const std::optional<double> value =
        ReadLimit(unit, limit.value.IsScalar() ? limit.value.Scalar() : "");
    if (value) {
      result.limits[kind] = *value;
    } else {
      AddWrongType(limit, Expected(unit), problems);
    }
  }
  return result;
}

}  // namespace dunlin
