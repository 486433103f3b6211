#include "common/pg/types.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/log.h"

namespace dunlin::pg {

const std::string& Result::Text(size_t row, size_t column) const {
  CHECK_LT(row, rows.size());
  CHECK_LT(column, rows[row].size());
  CHECK(rows[row][column].has_value()) << "NULL in column " << column;
  return *rows[row][column];
}

int64_t Result::Int(size_t row, size_t column) const {
  int64_t number = 0;
  CHECK(absl::SimpleAtoi(Text(row, column), &number)) << "not a number in column " << column;
  return number;
}

bool Result::Bool(size_t row, size_t column) const { return Text(row, column) == "t"; }

bool Result::IsNull(size_t row, size_t column) const {
  CHECK_LT(row, rows.size());
  CHECK_LT(column, rows[row].size());
  return !rows[row][column].has_value();
}

namespace {

void AppendElement(const std::string& value, std::string& out) {
  out += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

absl::Status Malformed() { return absl::InvalidArgumentError("malformed array literal"); }

}  // namespace

std::string EncodeTextArray(const std::vector<std::string>& values) {
  std::string out = "{";
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    AppendElement(values[i], out);
  }
  return out + "}";
}

std::string EncodeNullableTextArray(const std::vector<Value>& values) {
  std::string out = "{";
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    if (values[i]) {
      AppendElement(*values[i], out);
    } else {
      out += "NULL";
    }
  }
  return out + "}";
}

absl::Status DecodeTextArray(absl::string_view text, std::vector<Value>& out) {
  out.clear();
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return Malformed();
  absl::string_view rest = text.substr(1, text.size() - 2);
  if (rest.empty()) return absl::OkStatus();
  while (true) {
    std::string element;
    bool quoted = false;
    size_t at = 0;
    if (!rest.empty() && rest[0] == '"') {
      quoted = true;
      for (at = 1; at < rest.size() && rest[at] != '"'; ++at) {
        if (rest[at] == '\\' && ++at >= rest.size()) return Malformed();
        element += rest[at];
      }
      if (at >= rest.size()) return Malformed();
      ++at;
    } else {
      for (; at < rest.size() && rest[at] != ','; ++at) {
        if (rest[at] == '{' || rest[at] == '}' || rest[at] == '"') return Malformed();
        if (rest[at] == '\\' && ++at >= rest.size()) return Malformed();
        element += rest[at];
      }
      if (element.empty()) return Malformed();
    }
    out.push_back(!quoted && element == "NULL" ? Value() : Value(std::move(element)));
    rest.remove_prefix(at);
    if (rest.empty()) return absl::OkStatus();
    if (rest[0] != ',') return Malformed();
    rest.remove_prefix(1);
  }
}

}  // namespace dunlin::pg
