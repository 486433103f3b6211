#include "common/migration/identifier.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/migration/sql_lexer.h"

namespace dunlin {
namespace {

// Every keyword of PostgreSQL 12 to 18 that is not "unreserved", each between two spaces.
constexpr absl::string_view kKeywords =
    " unreserved all analyse analyze and any array as asc asymmetric authorization between "
    "bigint binary bit boolean both case cast char character check coalesce collate collation "
    "column concurrently constraint create cross current_catalog current_date current_role "
    "current_schema current_time current_timestamp current_user dec decimal default deferrable "
    "desc distinct do else end except exists extract false fetch float for foreign freeze from "
    "full grant greatest group grouping having ilike in initially inner inout int integer "
    "intersect interval into is isnull join json json_array json_arrayagg json_exists "
    "json_object json_objectagg json_query json_scalar json_serialize json_table json_value "
    "lateral leading least left like limit localtime localtimestamp merge_action national "
    "natural nchar none normalize not notnull null nullif numeric offset on only or order out "
    "outer overlaps overlay placing position precision primary real references returning right "
    "row select session_user setof similar smallint some substring symmetric system_user table "
    "tablesample then time timestamp to trailing treat trim true union unique user using values "
    "varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement "
    "xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

bool IsKeyword(absl::string_view name) {
  return absl::StrContains(kKeywords, absl::StrCat(" ", name, " "));
}

absl::Status BadIdentifier(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text, "' is not an SQL identifier (", why,
      "); expected name or schema.name, with double quotes around a name that has capitals, spaces "
      "or signs, such as public.\"Odd Name\""));
}

// Takes one part off the front of `rest`. An empty answer is an error, which `why` explains.
std::string TakePart(absl::string_view& rest, absl::string_view& why) {
  std::string name;
  if (rest.empty() || rest.front() != '"') {
    size_t size = 0;
    if (!rest.empty() && IsIdentifierStart(rest.front())) {
      while (size < rest.size() && IsIdentifierPart(rest[size])) ++size;
    }
    name = absl::AsciiStrToLower(rest.substr(0, size));
    rest.remove_prefix(size);
    if (name.empty()) why = "a name begins with a letter or an underscore";
    return name;
  }
  size_t at = 1;
  for (; at < rest.size(); ++at) {
    if (rest[at] == '"') {
      if (at + 1 >= rest.size() || rest[at + 1] != '"') break;
      ++at;
    }
    name.push_back(rest[at]);
  }
  if (at >= rest.size()) {
    why = "a quoted name is not closed";
    return "";
  }
  if (name.empty()) why = "a quoted name is empty";
  rest.remove_prefix(at + 1);
  return name;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseIdentifier(absl::string_view text) {
  if (text.empty()) return BadIdentifier(text, "it is empty");
  if (text.find('\0') != absl::string_view::npos) return BadIdentifier("…", "it has a NUL byte");
  std::vector<std::string> names;
  absl::string_view rest = text;
  while (true) {
    absl::string_view why;
    std::string name = TakePart(rest, why);
    if (name.empty()) return BadIdentifier(text, why);
    if (name.size() > kMaxIdentifierBytes) {
      return BadIdentifier(text, "a name is longer than 63 bytes");
    }
    names.push_back(std::move(name));
    if (rest.empty()) return names;
    if (rest.front() != '.') {
      return BadIdentifier(text, absl::StrCat("what begins at '", rest, "' needs quotes"));
    }
    rest.remove_prefix(1);
  }
}

std::string QuoteIdentifier(absl::string_view name) {
  const bool plain = !name.empty() && !absl::ascii_isdigit(name.front()) &&
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
                     });
  if (plain && !IsKeyword(name)) {
    return std::string(name);
  }
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

}  // namespace dunlin
