// SQL identifiers as people write them, and back.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dunlin {

// PostgreSQL cuts longer names silently (NAMEDATALEN - 1); here they are an error.
inline constexpr size_t kMaxIdentifierBytes = 63;

// Splits `schema."Odd Name"` at its dots into the names as the catalog has them: unquoted parts are
// folded to lower case (ASCII only, as PostgreSQL does in UTF-8), quoted ones lose their quotes.
// One name for each part, at least one. Error: INVALID_ARGUMENT says what was expected.
absl::StatusOr<std::vector<std::string>> ParseIdentifier(absl::string_view text);

// Quotes a catalog name if it must be, as quote_identifier() does: reservations, "Odd Name",
// "order". The result can stand anywhere in SQL where an identifier can.
std::string QuoteIdentifier(absl::string_view name);

}  // namespace dunlin
