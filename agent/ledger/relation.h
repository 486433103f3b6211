#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/key_text.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

struct KeyColumn {
  std::string name;           // as in the catalog
  std::string name_sql;       // quoted
  pg::Oid type = 0;           // what its parameters are bound as
  std::string type_sql;       // format_type(): for casts of keys as text
  std::string collation_sql;  // " COLLATE "s"."c"", or empty
  bool not_null = false;
  bool generated = false;
  bool sortable = false;  // has a default btree operator class
};

// A table as the target's catalog describes it: identifiers come from there, by OID, quoted by the
// server (design 10).
struct Relation {
  pg::Oid oid = 0;
  std::string schema_sql;  // quoted
  std::string
      name_sql;  // schema-qualified, quoted: what is stored in the ledger and put for `:table`
  std::string qualifier_sql;  // unqualified, quoted
  std::string kind;           // relkind
  std::vector<KeyColumn> key;
  bool key_unique = false;         // a unique index covers exactly the key columns
  bool key_indexed = false;        // some valid btree index begins with the key columns in order
  std::string collation_versions;  // "default=…", of the key's collations (trap 21)
};

// Resolves a table by its identifier as in a migration file (unqualified = schema public) and its
// key columns (empty = the primary key). Errors: FAILED_PRECONDITION with a sentence: no such table
// or column, not a table, no primary key.
absl::StatusOr<Relation> DescribeTable(pg::Connection& connection, const std::string& table,
                                       const std::vector<std::string>& key);
// The same by the quoted name that the ledger holds; key columns as catalog names.
absl::StatusOr<Relation> DescribeRelation(pg::Connection& connection, const std::string& name_sql,
                                          const std::vector<std::string>& key);

// Leaf partitions (or the table itself when it is not partitioned), as quoted names; foreign ones
// are an error.
absl::StatusOr<std::vector<std::string>> ListLeaves(pg::Connection& connection,
                                                    const Relation& relation);

// "public.reservations (id)": for messages.
std::string DescribeKey(const Relation& relation);

// Comma-separated quoted key columns, each behind `prefix` ("r." or "").
std::string KeyList(const Relation& relation, const std::string& prefix = "");

// The session's search_path for a relation: its schema, public, pg_temp.
std::string SearchPathFor(const std::string& schema_sql);
// The same by a relation's name as the ledger holds it: schema-qualified and quoted.
std::string SearchPathOf(const std::string& name_sql);

}  // namespace dunlin::agent
