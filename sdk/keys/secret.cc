#include "keys/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/fail.h"

namespace countermark::keys {
namespace {

std::shared_ptr<Secret::Bytes> allocate() {
  void* page = ::mmap(nullptr, sizeof(Secret::Bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_DONTDUMP)
  ::madvise(page, sizeof(Secret::Bytes), MADV_DONTDUMP);
#endif
  // Best effort: a container may allow no locked memory at all.
  ::mlock(page, sizeof(Secret::Bytes));
  return {new (page) Secret::Bytes{}, [](Secret::Bytes* bytes) {
            OPENSSL_cleanse(bytes, sizeof *bytes);
            ::munmap(bytes, sizeof *bytes);
          }};
}

}  // namespace

Secret::Secret(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != size_bytes) {
    fail(ErrorCode::InvalidKey, "a secret must hold ", size_bytes, " bytes, got ", bytes.size());
  }
  const auto copy = allocate();
  std::copy(bytes.begin(), bytes.end(), copy->begin());
  bytes_ = copy;
}

Secret Secret::generate() {
  Bytes drawn = {};
  if (RAND_priv_bytes(drawn.data(), static_cast<int>(drawn.size())) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL's random generator failed");
  }
  Secret secret(drawn);
  OPENSSL_cleanse(drawn.data(), drawn.size());
  return secret;
}

bool Secret::operator==(const Secret& other) const noexcept {
  return CRYPTO_memcmp(bytes_->data(), other.bytes_->data(), size_bytes) == 0;
}

}  // namespace countermark::keys
