// Values, statements and results as this layer speaks of them: text format throughout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dunlin::pg {

using Oid = unsigned int;

// nullopt = NULL.
using Value = std::optional<std::string>;

// A statement that is prepared on first use and kept by the session under its name.
struct Statement {
  std::string name;                  // unique in the session; empty = unnamed, parsed each time
  std::string sql;                   // $1 … $n
  std::vector<Oid> parameter_types;  // shorter or 0 = the server infers
};

struct Result {
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;
  int64_t rows_affected = 0;  // of the command tag; 0 when it has none
  std::string command_tag;    // "UPDATE 42", "COMMIT", "ROLLBACK" …
  // Notices and warnings that this command alone has raised (SQLSTATEs, the latest hundred).
  std::vector<std::string> notices;

  // The value of a row and column that must be there and not NULL; CHECKs otherwise.
  const std::string& Text(size_t row, size_t column) const;
  int64_t Int(size_t row, size_t column) const;  // CHECKs that it is a number
  bool Bool(size_t row, size_t column) const;    // 't' or 'f'
  bool IsNull(size_t row, size_t column) const;
};

// What the server said about a failed statement; the payload of every Status of this layer that
// came from the server. Never a row value: MESSAGE only of class 42 and of Dunlin's own SQLSTATEs
// ("DN…"), no DETAIL, CONTEXT, HINT (I8).
struct ServerError {
  std::string sqlstate;  // empty when the connection broke
  std::string
      message;  // primary message where it is safe, else a sentence of our own for the SQLSTATE
  std::string schema, table, column, constraint;
};

// Empty when `status` did not come from a server's error.
std::optional<ServerError> GetServerError(const absl::Status& status);
// SQLSTATE of a status, or "".
std::string SqlStateOf(const absl::Status& status);

// Whether the connection is gone (outcome of what was sent is unknown): reconnect.
bool IsConnectionLost(const absl::Status& status);
// Of a connection that could not be made: nobody listens there, or the server starts up or
// recovers. Not when the network is silent.
bool IsServerDown(const absl::Status& status);

// text[] in PostgreSQL's array literal form; elements may be NULL.
std::string EncodeTextArray(const std::vector<std::string>& values);
std::string EncodeNullableTextArray(const std::vector<Value>& values);
// Of one dimension. INVALID_ARGUMENT when malformed or multi-dimensional.
absl::Status DecodeTextArray(absl::string_view text, std::vector<Value>& out);

}  // namespace dunlin::pg
