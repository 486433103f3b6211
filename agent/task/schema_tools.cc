#include "agent/task/schema_tools.h"

#include <zlib.h>

#include <limits>

#include "absl/strings/str_cat.h"

namespace dunlin::agent {
namespace {

// ActiveRecord::Migrator: salt × crc32(database).
constexpr int64_t kRailsSalt = 2053462845;
// sqlx (Rust), made after Rails' example.
constexpr int64_t kSqlxSalt = 0x3d32ad9e;
// golang-migrate: the low 32 bits of salt × crc32(names with NUL between them).
constexpr uint32_t kGolangMigrateSalt = 1486364155;
// Flyway: this plus the hash code, a signed 32-bit number, of its history table's name. No other
// tool's key lies so near.
constexpr int64_t kFlywayMagic = 77431708279161;

uint32_t Crc32(const std::string& text) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

int64_t GolangMigrateKey(const std::string& names) {
  return static_cast<uint32_t>(Crc32(names) * kGolangMigrateSalt);
}

}  // namespace

SchemaToolLocks::SchemaToolLocks(
    const std::string& database,
    const std::vector<std::pair<std::string, std::string>>& version_tables) {
  tools_ = {{kRailsSalt * Crc32(database), "Rails"},
            {kSqlxSalt * Crc32(database), "sqlx"},
            {72707369, "Prisma"},
            {7241865325823964, "node-pg-migrate"},
            {5887940537704921958, "goose"},
            {4097083626, "goose"}};
  const std::string nul(1, '\0');
  auto tables = version_tables;
  tables.emplace_back("public", "schema_migrations");
  // Its older versions leave out the table, or the schema too.
  tools_[GolangMigrateKey(database)] = "golang-migrate";
  for (const auto& [schema, table] : tables) {
    tools_[GolangMigrateKey(absl::StrCat(schema, nul, database))] = "golang-migrate";
    tools_[GolangMigrateKey(absl::StrCat(schema, nul, table, nul, database))] = "golang-migrate";
  }
}

std::string SchemaToolLocks::ToolOf(int64_t key) const {
  if (const auto known = tools_.find(key); known != tools_.end()) return known->second;
  const bool flyway = key >= kFlywayMagic + std::numeric_limits<int32_t>::min() &&
                      key <= kFlywayMagic + std::numeric_limits<int32_t>::max();
  return flyway ? "Flyway" : "";
}

}  // namespace dunlin::agent
