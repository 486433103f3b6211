#include "common/migration/raw_text.h"

#include "absl/strings/str_cat.h"

#include "common/limits.h"

namespace dunlin {
namespace {

// The size of the UTF-8 character at the beginning of `text`; 0 when it is none (also overlong
// forms and surrogates).
size_t CharacterSize(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : size;
}

bool CheckBytes(ProblemList& problems) {
  const absl::string_view text = problems.text();
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\0') {
      problems.AddAt(at, "", "a NUL byte; expected a text in UTF-8");
      return false;
    }
    const size_t size = CharacterSize(text.substr(at));
    if (size == 0) {
      problems.AddAt(at, "", "a byte that is not UTF-8; expected a text in UTF-8");
      return false;
    }
    at += size;
  }
  return true;
}

// Every style of YAML needs spaces, at least one, before the text of a nested line; only blank
// lines and comments may begin with a tab.
void CheckTabs(ProblemList& problems) {
  const absl::string_view text = problems.text();
  for (size_t start = 0; start < text.size();) {
    const size_t newline = text.find('\n', start);
    const size_t end = newline == absl::string_view::npos ? text.size() : newline;
    const absl::string_view line = text.substr(start, end - start);
    const size_t content = line.find_first_not_of(" \t\r");
    if (content != absl::string_view::npos && line[0] == '\t' && line[content] != '#') {
      problems.AddAt(start, "", "a tab begins the line; YAML is indented with spaces");
      return;
    }
    start = end + 1;
  }
}

}  // namespace

void CheckRawText(ProblemList& problems) {
  if (problems.text().size() > static_cast<size_t>(kMaxDefinitionBytes)) {
    problems.AddForFile(absl::StrCat("the file has ", problems.text().size(),
                                     " bytes; expected at most ", kMaxDefinitionBytes));
    return;
  }
  if (CheckBytes(problems)) CheckTabs(problems);
}

}  // namespace dunlin
