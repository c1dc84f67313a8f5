// Contexts in, their seeds out: AES blocks.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "keys/secret.h"

namespace countermark::keys {

/// A context of four token words, the input of the cipher.
using Block = std::array<std::uint32_t, 4>;

/// What the cipher makes of a context.
struct Seed {
  std::uint64_t k1 = 0, k2 = 0;

  bool operator==(const Seed&) const = default;
};

/// AES-256-ECB under one key. Copies are independent; one object belongs to one thread at a time,
/// though any number may copy from it. OpenSSL wipes the key schedule.
class Aes {
 public:
  /// Throws Error(CryptoFailure).
  explicit Aes(const Secret& key);
  Aes(const Aes& other);
  Aes(Aes&&) noexcept = default;
  Aes& operator=(const Aes&) = delete;
  Aes& operator=(Aes&&) noexcept = default;

  /// False where OpenSSL refuses; the seeds are then worthless. As many seeds as blocks. One call
  /// of OpenSSL for many blocks costs each a fraction of a call of its own.
  [[nodiscard]] bool encrypt(std::span<const Block> blocks, std::span<Seed> seeds) noexcept;

  /// The same for one block; where it fails, `seed` is left alone.
  [[nodiscard]] bool encrypt(const Block& block, Seed& seed) noexcept;

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

}  // namespace countermark::keys
