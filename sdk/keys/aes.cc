#include "keys/aes.h"

#include <algorithm>

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

bool Aes::encrypt(std::span<const Block> blocks, std::span<Seed> seeds) noexcept {
  constexpr std::size_t at_once = 128;
  std::array<std::uint8_t, at_once * sizeof(Block)> in, out;
  for (std::size_t begin = 0; begin < blocks.size(); begin += at_once) {
    const auto piece = blocks.subspan(begin, std::min(at_once, blocks.size() - begin));
    std::uint8_t* to = in.data();
    for (const Block& block : piece) {
      for (const std::uint32_t word : block) {
        base::store(to, word);
        to += sizeof word;
      }
    }
    int size = 0;
    const auto wanted = static_cast<int>(piece.size() * sizeof(Block));
    if (EVP_EncryptUpdate(context_.get(), out.data(), &size, in.data(), wanted) != 1 ||
        size != wanted) {
      return false;
    }
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const std::uint8_t* from = out.data() + i * sizeof(Block);
      seeds[begin + i] = {base::load<std::uint64_t>(from), base::load<std::uint64_t>(from + 8)};
    }
  }
  return true;
}

bool Aes::encrypt(const Block& block, Seed& seed) noexcept {
  Seed result;
  if (!encrypt({&block, 1}, {&result, 1})) return false;
  seed = result;
  return true;
}

}  // namespace countermark::keys
