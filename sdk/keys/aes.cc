#include "keys/aes.h"

#include "base/bytes.h"
#include "base/fail.h"

namespace countermark::keys {

Aes::Aes(const Secret& key) : context_(EVP_CIPHER_CTX_new()) {
  if (!context_ ||
      EVP_EncryptInit_ex(context_.get(), EVP_aes_256_ecb(), nullptr, key.reveal().data(),
                         nullptr) != 1 ||
      EVP_CIPHER_CTX_set_padding(context_.get(), 0) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused AES-256");
  }
}

Aes::Aes(const Aes& other) : context_(EVP_CIPHER_CTX_new()) {
  if (!context_ || EVP_CIPHER_CTX_copy(context_.get(), other.context_.get()) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused to copy an AES-256 context");
  }
}

bool Aes::encrypt(const Block& block, Seed& seed) noexcept {
  std::array<std::uint8_t, 16> in = {};
  for (std::size_t i = 0; i < block.size(); ++i) base::store(in.data() + 4 * i, block[i]);
  std::array<std::uint8_t, 16> out = {};
  int size = 0;
  if (EVP_EncryptUpdate(context_.get(), out.data(), &size, in.data(),
                        static_cast<int>(in.size())) != 1 ||
      size != static_cast<int>(out.size())) {
    return false;
  }
  seed = {base::load<std::uint64_t>(out.data()), base::load<std::uint64_t>(out.data() + 8)};
  return true;
}

}  // namespace countermark::keys
