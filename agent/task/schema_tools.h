// The advisory locks that tools for schema migrations hold while they work. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dunlin::agent {

// Of one database: from the key of an advisory lock to whose it is.
class SchemaToolLocks {
 public:
  // `version_tables`: (schema, name) of tables that look like golang-migrate's, whose lock is named
  // after its table; its default one is known anyway.
  SchemaToolLocks(const std::string& database,
                  const std::vector<std::pair<std::string, std::string>>& version_tables);

  // "Rails", "golang-migrate" …; empty: no tool's that is known. `key` of pg_advisory_lock(bigint).
  std::string ToolOf(int64_t key) const;

 private:
  std::map<int64_t, std::string> tools_;
};

}  // namespace dunlin::agent
