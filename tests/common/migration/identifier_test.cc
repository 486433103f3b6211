#include "common/migration/identifier.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(IdentifierTest, GivesTheNamesAsTheCatalogHasThem) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"reservations", {"reservations"}},
      {"public.Reservations", {"public", "reservations"}},
      {"\"Odd Name\"", {"Odd Name"}},
      {"\"a.b\".\"c\"\"d\"", {"a.b", "c\"d"}},
      {"_x$1", {"_x$1"}},
      {"größe", {"größe"}},
  };
  for (const auto& [text, want] : cases) {
    const auto got = ParseIdentifier(text);
    ASSERT_TRUE(got.ok()) << text << ": " << got.status();
    EXPECT_EQ(*got, want) << text;
  }
}

TEST(IdentifierTest, RefusesWhatIsNoIdentifier) {
  const std::vector<std::string> bad = {"",
                                        ".",
                                        "a.",
                                        ".a",
                                        "a..b",
                                        "1a",
                                        "a b",
                                        "Odd Name",
                                        "\"a",
                                        "\"\"",
                                        "a;b",
                                        "a\"b\"",
                                        "\"a\"b",
                                        "a-b",
                                        "$a",
                                        " a",
                                        "a ",
                                        "a--",
                                        "a(1)",
                                        std::string("a\0b", 3),
                                        std::string(64, 'x')};
  for (const std::string& text : bad) {
    const auto got = ParseIdentifier(text);
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(got.status().message().find("expected name or schema.name"), std::string::npos);
  }
}

TEST(IdentifierTest, QuotesOnlyWhatMustBeQuoted) {
  EXPECT_EQ(QuoteIdentifier("reservations"), "reservations");
  EXPECT_EQ(QuoteIdentifier("cancelled_on2"), "cancelled_on2");
  EXPECT_EQ(QuoteIdentifier("Odd Name"), "\"Odd Name\"");
  EXPECT_EQ(QuoteIdentifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(QuoteIdentifier("2x"), "\"2x\"");
  EXPECT_EQ(QuoteIdentifier(""), "\"\"");
  for (const std::string word : {"order", "user", "all", "xmltable", "left", "values"}) {
    EXPECT_EQ(QuoteIdentifier(word), "\"" + word + "\"");
  }
  EXPECT_EQ(QuoteIdentifier("name"), "name");
}

TEST(IdentifierTest, WhatIsQuotedReadsBackAsItself) {
  for (const std::string name : {"a", "A", "select", "x.y", "q\"q", "ü", " ", "a$"}) {
    const auto back = ParseIdentifier(QuoteIdentifier(name));
    ASSERT_TRUE(back.ok()) << name;
    EXPECT_EQ(*back, std::vector<std::string>{name});
  }
}

}  // namespace
}  // namespace dunlin
