#include "keys/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <new>

#include "base/fail.h"

namespace countermark::keys {
namespace {

std::shared_ptr<std::uint8_t> allocate(std::size_t size) {
  void* page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_DONTDUMP)
  ::madvise(page, size, MADV_DONTDUMP);
#endif
  // Best effort: a container may allow no locked memory at all.
  ::mlock(page, size);
  return {static_cast<std::uint8_t*>(page), [size](std::uint8_t* bytes) {
            OPENSSL_cleanse(bytes, size);
            ::munmap(bytes, size);
          }};
}

}  // namespace

Secret::Secret(std::span<const std::uint8_t> bytes) : size_(bytes.size()) {
  if (size_ < 1 || size_ > most_bytes) {
    fail(ErrorCode::InvalidKey, "a secret must hold 1 to ", most_bytes, " bytes, got ", size_);
  }
  const auto copy = allocate(size_);
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
