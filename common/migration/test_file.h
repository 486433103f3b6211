// The test of a migration: <name>.test.yaml beside it. Plain data; `dunlin test` runs it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "common/migration/parser.h"

namespace dunlin {

// A row as an object in JSON, which PostgreSQL turns into a row of the table's own types.
struct TestRow {
  std::vector<std::string> columns;  // names as in the catalog, in the file's order
  std::string json;
  int line = 0;
};

struct TestTable {
  std::string table;  // an SQL identifier as in the file
  int line = 0;
  std::vector<TestRow> rows;  // in `expect` all have the same columns
};

// What must be there before, and what after.
struct TestCase {
  std::string name;
  // SQL, or tables with rows; at most one of them.
  std::string rows_sql;
  std::vector<TestTable> rows;
  // A query that answers what is wrong, or tables that must have exactly these rows. One of them.
  std::string expect_sql;
  std::vector<TestTable> expect;
  std::map<std::string, std::string> parameters;
};

struct TestFile {
  std::string schema_file;  // relative to the test; run before `schema`
  std::string schema;
  // Columns that may differ from run to run, as {table, column}.
  std::vector<std::pair<std::string, std::string>> ignore;
  std::vector<TestCase> cases;  // at least one; a file without `cases:` is one
};

struct TestFileResult {
  TestFile test;  // meaningful only when `problems` is empty
  std::vector<FileProblem> problems;
};

// As ParseMigration: pure, never throws, tells every mistake that it finds.
TestFileResult ParseTestFile(absl::string_view file, absl::string_view text);

// The text of a migration file with these fields of the top taken out, every other line in its
// place; the text itself when it has none of them, or is not valid.
std::string WithoutTopFields(absl::string_view text, const std::vector<std::string>& names);

}  // namespace dunlin
