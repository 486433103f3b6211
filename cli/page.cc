#include "cli/page.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

// Narrower ones are taken as so wide: a word a line helps nobody.
constexpr int kNarrowest = 40;
constexpr int kLabelWidth = 12;

const char* CodeOf(Page::Tone tone) {
  switch (tone) {
    case Page::Tone::kPlain:
      return "1";
    case Page::Tone::kBad:
      return "1;31";
    case Page::Tone::kWarn:
      return "1;33";
    case Page::Tone::kFaint:
      return "2";
  }
  return "0";
}

}  // namespace

size_t Cells(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

PageStyle StyleOfOutput() {
  if (isatty(STDOUT_FILENO) == 0) return {};
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  // Read before the first thread is made.
  const char* refused = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  const char* kind = std::getenv("TERM");         // NOLINT(concurrency-mt-unsafe)
  const bool dumb = kind == nullptr || absl::string_view(kind) == "dumb";
  return {.width = std::max(kNarrowest, known ? static_cast<int>(size.ws_col) : 80),
          .colour = !dumb && (refused == nullptr || *refused == '\0')};
}

void Page::Put(absl::string_view line, Tone tone) {
  if (style_.colour && tone != Tone::kPlain) {
    absl::StrAppend(&text_, "\033[", CodeOf(tone), "m", line, "\033[0m\n");
  } else {
    absl::StrAppend(&text_, line, "\n");
  }
}

void Page::Heading(absl::string_view text, Tone tone) {
  if (style_.colour) {
    absl::StrAppend(&text_, "\033[", CodeOf(tone), "m", text, "\033[0m\n");
  } else {
    absl::StrAppend(&text_, text, "\n");
  }
}

void Page::Wrapped(const std::string& first, const std::string& others, absl::string_view text,
                   Tone tone) {
  std::string line = first;
  bool empty = true;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const bool full = style_.width > 0 && !empty &&
                      Cells(line) + 1 + Cells(word) > static_cast<size_t>(style_.width);
    if (full) {
      Put(line, tone);
      line = others;
      empty = true;
    }
    absl::StrAppend(&line, empty ? "" : " ", word);
    empty = false;
  }
  Put(line, tone);
}

void Page::Line(int indent, absl::string_view text, Tone tone) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  Wrapped(margin, margin + "  ", text, tone);
}

void Page::Entry(absl::string_view label, absl::string_view text) {
  std::string first = absl::StrCat("  ", label);
  first.resize(std::max(first.size() + 1, static_cast<size_t>(kLabelWidth) + 2), ' ');
  Wrapped(first, std::string(static_cast<size_t>(kLabelWidth) + 2, ' '), text, Tone::kPlain);
}

void Page::Command(int indent, absl::string_view label, absl::string_view command) {
  Put(absl::StrCat(std::string(static_cast<size_t>(indent), ' '), label, command), Tone::kPlain);
}

void Page::Blank() { text_.push_back('\n'); }

std::string SinceText(absl::Time since, absl::Time now) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  const bool today = absl::ToCivilDay(since, utc) == absl::ToCivilDay(now, utc);
  // The store's clock may be ahead of this one.
  const absl::Duration age =
      std::max(absl::ZeroDuration(), absl::Trunc(now - since, absl::Seconds(1)));
  return absl::StrCat("since ",
                      absl::FormatTime(today ? "%H:%M:%SZ" : "%Y-%m-%d %H:%M:%SZ", since, utc),
                      " (", age > absl::ZeroDuration() ? HumanDuration(age) : "just now", ")");
}

}  // namespace dunlin::cli
