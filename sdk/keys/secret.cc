#include "keys/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "base/private_pages.h"

namespace countermark::keys {
Secret::Secret(std::span<const std::uint8_t> bytes) : size_(bytes.size()) {
  if (size_ < 1 || size_ > most_bytes) {
    fail(ErrorCode::InvalidKey, "a secret must hold 1 to ", most_bytes, " bytes, got ", size_);
  }
  const auto copy = base::private_pages(size_);
  std::copy(bytes.begin(), bytes.end(), copy.get());
  bytes_ = copy;
}

Secret Secret::generate() {
  std::array<std::uint8_t, size_bytes> drawn = {};
  if (RAND_priv_bytes(drawn.data(), static_cast<int>(drawn.size())) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL's random generator failed");
  }
  Secret secret(drawn);
  OPENSSL_cleanse(drawn.data(), drawn.size());
  return secret;
}

bool Secret::operator==(const Secret& other) const noexcept {
  return size_ == other.size_ && CRYPTO_memcmp(bytes_.get(), other.bytes_.get(), size_) == 0;
}

}  // namespace countermark::keys
