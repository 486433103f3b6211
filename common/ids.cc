#include "common/ids.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <openssl/rand.h>

namespace dunlin {

std::string MakeUuid() {
  std::array<unsigned char, 16> b{};
  // Epochs are guarded by lease ids: without randomness nothing here is safe to go on.
  if (RAND_bytes(b.data(), static_cast<int>(b.size())) != 1) std::abort();
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);
  std::array<char, 37> text{};
  std::snprintf(text.data(), text.size(),
                "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
                b[15]);
  return text.data();
}

}  // namespace dunlin
