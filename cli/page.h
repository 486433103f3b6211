// Text for people. Pure but for StyleOf().
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dunlin::cli {

struct PageStyle {
  int width = 0;  // of the terminal; 0 = none: a sentence is a line, so that grep finds it
  bool colour = false;
};
// What standard output takes. Colours only on a terminal, and not when NO_COLOR is set.
PageStyle StyleOfOutput();

// Lines from the top: wrapped and coloured as the style says.
class Page {
 public:
  enum class Tone { kPlain, kBad, kWarn, kFaint };

  explicit Page(PageStyle style) : style_(style) {}

  void Heading(absl::string_view text, Tone tone = Tone::kPlain);
  // A sentence; what does not fit goes on in the next line, two columns further in.
  void Line(int indent, absl::string_view text, Tone tone = Tone::kPlain);
  // "label     text": a paragraph whose text stands in a column of its own.
  void Entry(absl::string_view label, absl::string_view text);
  // "next: dunlin …": never broken, since it is copied.
  void Command(int indent, absl::string_view label, absl::string_view command);
  void Blank();

  const std::string& text() const { return text_; }

 private:
  void Put(absl::string_view line, Tone tone);
  void Wrapped(const std::string& first, const std::string& others, absl::string_view text,
               Tone tone);

  const PageStyle style_;
  std::string text_;
};

// Display cells: bytes that do not continue a UTF-8 character.
size_t Cells(absl::string_view text);
// "since 03:24:29Z (4 min)", "… (just now)"; with the date when that is not today's.
std::string SinceText(absl::Time since, absl::Time now);

}  // namespace dunlin::cli
