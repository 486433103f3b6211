#include "common/migration/name.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include <openssl/evp.h>

#include "common/limits.h"

namespace dunlin {
namespace {

constexpr size_t kVersionDigits = 14;

absl::Status BadName(absl::string_view name, absl::string_view why) {
  // What was given may be anything: a name in a message is cut at what a name may have.
  const absl::string_view shown = name.substr(0, static_cast<size_t>(kMaxNameBytes));
  return absl::InvalidArgumentError(absl::StrCat(
      "'", shown, "' is not the name of a migration: ", why,
      "; expected YYYYMMDDHHMMSS_snake_name, such as 20261123120000_backfill_cancelled_on"));
}

bool IsSnake(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_'; }

}  // namespace

absl::StatusOr<MigrationName> ParseMigrationName(absl::string_view name) {
  if (name.empty()) return BadName(name, "it is empty");
  if (name.size() > static_cast<size_t>(kMaxNameBytes)) {
    return BadName(name, absl::StrCat("it is longer than ", kMaxNameBytes, " bytes"));
  }
  const auto digits_end =
      std::find_if_not(name.begin(), name.end(), [](char c) { return absl::ascii_isdigit(c); });
  const size_t digits = static_cast<size_t>(digits_end - name.begin());
  if (digits != kVersionDigits) {
    return BadName(name, absl::StrCat("it begins with ", digits, " digits, not ", kVersionDigits));
  }
  absl::string_view rest = name.substr(digits);
  if (!absl::ConsumePrefix(&rest, "_")) {
    return BadName(name, "an underscore is missing behind the version");
  }
  if (rest.empty()) return BadName(name, "nothing follows the version");
  if (rest.front() == '_') return BadName(name, "two underscores follow the version");
  if (!std::all_of(rest.begin(), rest.end(), IsSnake)) {
    return BadName(name, "only lower-case letters, digits and underscores may follow the version");
  }
  return MigrationName{.version = std::string(name.substr(0, digits)),
                       .snake_name = std::string(rest)};
}

absl::StatusOr<MigrationName> MigrationNameOfPath(absl::string_view path) {
  absl::string_view last = path;
  if (const size_t slash = last.rfind('/'); slash != absl::string_view::npos) {
    last.remove_prefix(slash + 1);
  }
  if (!absl::ConsumeSuffix(&last, ".yaml")) absl::ConsumeSuffix(&last, ".yml");
  return ParseMigrationName(last);
}

std::string DigestOf(absl::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // Without a digest nothing can be told from anything else (I9); it fails only when OpenSSL itself
  // is broken.
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    std::abort();
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

}  // namespace dunlin
