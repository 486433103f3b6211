#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/pg/connection.h"
#include "common/secret.h"
#include "tests/fuzz/fuzz.h"

namespace {

// What the password is made of; each alone must not be shown. The first could be a port.
constexpr std::array<const char*, 3> kSecrets = {"31337", "Zq7xWk9v", "Jd3yTn8u"};

std::string Without(std::string text, absl::string_view characters) {
  std::erase_if(text, [&](char c) { return absl::StrContains(characters, c); });
  return text;
}

// As libpq reads it, in a URI or not.
std::string Unescaped(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string digits = text.substr(i + 1, 2);
    const bool hex = digits.size() == 2 && std::all_of(digits.begin(), digits.end(), [](char c) {
                       return absl::ascii_isxdigit(static_cast<unsigned char>(c));
                     });
    if (text[i] == '%' && hex) {
      plain += absl::HexStringToBytes(digits);
      i += 2;
    } else if (text[i] != '\\' && text[i] != '\'') {
      plain += text[i];
    }
  }
  return plain;
}

void RequireNoSecret(absl::string_view shown, const std::string& dsn) {
  for (const char* secret : kSecrets)
    FUZZ_REQUIRE(!absl::StrContains(shown, secret), absl::StrCat(shown, " of ", dsn));
}

// Whatever is said of a connection string before and after it is accepted.
void RequireKept(const std::string& dsn) {
  const absl::Status valid = dunlin::pg::ValidateDsn(dunlin::Secret(dsn));
  RequireNoSecret(valid.message(), dsn);
  if (valid.ok()) RequireNoSecret(dunlin::pg::DescribeDsn(dunlin::Secret(dsn)), dsn);
}

}  // namespace

// I8: however a password is written into a connection string, escaped or not, nothing of it is
// shown. The lines of the input are what stands between the password's parts, and the other parts.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::fuzz::Input input(data, size);
  const unsigned style = input.Byte() % 6;
  // C strings: nothing is behind a NUL. With '=' a part of the password would be a setting of its
  // own, by anybody's reading.
  const std::string none(1, '\0');
  const std::string first = Without(input.Line(), none + "=");
  const std::string second = Without(input.Line(), none + "=");
  const std::string user = Without(input.Line(), none);
  const std::string host = Without(input.Line(), none);
  const std::string database = Without(input.Line(), none);
  // What is no password may be shown.
  for (const char* secret : kSecrets)
    if (const std::string others = absl::StrCat(user, " ", host, " ", database);
        absl::StrContains(others, secret) || absl::StrContains(Unescaped(others), secret))
      return 0;
  const std::string password = absl::StrCat(kSecrets[0], first, kSecrets[1], second, kSecrets[2]);
  switch (style) {
    case 0:
      RequireKept(absl::StrCat("postgresql://", user, ":", password, "@", host, "/", database));
      break;
    case 1:
      RequireKept(absl::StrCat("postgres://", host, "/", database, "?password=", password));
      break;
    case 2:
      RequireKept(absl::StrCat("postgresql://", host, "?password=", password));
      break;
    case 3:
      RequireKept(absl::StrCat("host=", host, " user=", user, " password=", password,
                               " dbname=", database));
      break;
    case 4:
      RequireKept(absl::StrCat(user, ":", password, "@", host, "/", database));
      break;
    default:
      RequireKept(absl::StrCat("host=h dbname=postgresql://", user, ":", password, "@", host));
      break;
  }
  return 0;
}
