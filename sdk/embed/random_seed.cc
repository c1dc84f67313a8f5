#include "embed/random_seed.h"

#include <openssl/rand.h>

#include <array>

#include "base/bytes.h"
#include "base/fail.h"

namespace countermark::embed {

std::uint64_t random_seed() {
  std::array<std::uint8_t, 8> bytes = {};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL's random generator failed");
  }
  return base::load<std::uint64_t>(bytes.data());
}

}  // namespace countermark::embed
