#include "coordinator/notify/notice_template.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include <nlohmann/json.hpp>

namespace dunlin::coordinator {
namespace {

using nlohmann::json;

constexpr absl::string_view kLabel = "labels.";

// Lines and columns from 1 on; columns count characters.
absl::Status Refuse(const std::string& file, const std::string& text, size_t offset,
                    const std::string& why) {
  const std::string before = text.substr(0, offset);
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 = 0
  const auto begins_character = [](char c) { return (c & 0xC0) != 0x80; };
  return absl::InvalidArgumentError(
      absl::StrCat(file, ":", 1 + std::count(before.begin(), before.end(), '\n'), ":",
                   1 + std::count_if(before.begin() + static_cast<int64_t>(line_begin),
                                     before.end(), begins_character),
                   ": ", why));
}

// Texts and numbers; the labels one by one.
bool IsKnown(const json& fields, const std::string& name) {
  if (absl::StartsWith(name, kLabel)) return name.size() > kLabel.size();
  const auto field = fields.find(name);
  return field != fields.end() && !field->is_object();
}

std::string Known(const json& fields) {
  std::vector<std::string> names;
  for (const auto& [name, value] : fields.items()) {
    if (IsKnown(fields, name)) names.push_back(name);
  }
  return absl::StrCat(absl::StrJoin(names, ", "), ", ", kLabel, "NAME");
}

std::string ValueOf(const json& fields, absl::string_view name) {
  if (absl::ConsumePrefix(&name, kLabel)) return fields["labels"].value(std::string(name), "");
  const json& field = fields[std::string(name)];
  return field.is_string() ? field.get<std::string>() : field.dump();
}

// What stands between the quotes of a JSON string.
std::string Escaped(const std::string& text) {
  const std::string quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

// "[json.exception…] parse error at …: syntax error while parsing value - invalid literal; last
// read: '…'" → "invalid literal"
std::string WhyNoJson(const json::parse_error& error) {
  std::string why = error.what();
  if (const size_t at = why.find(" - "); at != why.npos) why.erase(0, at + 3);
  if (const size_t at = why.find("; last read"); at != why.npos) why.erase(at);
  return why;
}

}  // namespace

absl::StatusOr<NoticeTemplate> NoticeTemplate::Parse(const std::string& file,
                                                     const std::string& text, const json& fields) {
  NoticeTemplate made;
  // The text with an example in the place of each placeholder, as long as that, so that places in
  // both are the same. What is JSON with these is JSON with any value: a text that stands outside
  // quotes is an unknown word, a number that touches another is followed by a blank.
  std::string example = text;
  size_t at = 0;
  for (size_t open = text.find("{{"); open != text.npos; open = text.find("{{", at)) {
    const size_t close = text.find("}}", open);
    if (close == text.npos || text.find('\n', open) < close)
      return Refuse(file, text, open, "{{ has no }} behind it on its line");
    const size_t length = close + 2 - open;
    absl::string_view inside =
        absl::StripAsciiWhitespace(absl::string_view(text).substr(open + 2, length - 4));
    const bool for_slack = absl::ConsumeSuffix(&inside, "|slack");
    Piece piece{.before = text.substr(at, open - at),
                .name = std::string(absl::StripAsciiWhitespace(inside)),
                .for_slack = for_slack};
    if (!IsKnown(fields, piece.name)) {
      return Refuse(file, text, open,
                    absl::StrCat("there is nothing to put for {{", piece.name,
                                 "}}; known are: ", Known(fields)));
    }
    const bool number = fields.contains(piece.name) && fields[piece.name].is_number();
    example.replace(open, length,
                    number ? "0" + std::string(length - 1, ' ') : std::string(length, 'x'));
    made.pieces_.push_back(std::move(piece));
    at = close + 2;
  }
  made.pieces_.push_back({.before = text.substr(at)});
  try {
    [[maybe_unused]] const json parsed = json::parse(example);
  } catch (const json::parse_error& error) {
    return Refuse(file, text, error.byte == 0 ? 0 : error.byte - 1,
                  absl::StrCat("this makes no JSON: ", WhyNoJson(error),
                               "; placeholders of texts stand inside quotes"));
  }
  return made;
}

std::string NoticeTemplate::Fill(const json& fields) const {
  std::string body;
  for (const Piece& piece : pieces_) {
    absl::StrAppend(&body, piece.before);
    if (piece.name.empty()) continue;
    std::string value = ValueOf(fields, piece.name);
    // Slack reads these three as markup.
    if (piece.for_slack)
      value = absl::StrReplaceAll(value, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
    absl::StrAppend(&body, Escaped(value));
  }
  return body;
}

}  // namespace dunlin::coordinator
