#include "keys/derivation.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>
#include <memory>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/hex.h"

namespace countermark::keys {
namespace {

using Digest = std::array<std::uint8_t, 32>;

Digest hmac_sha256(const Secret& key, std::span<const std::uint8_t> data) {
  Digest digest = {};
  unsigned int size = 0;
  const auto bytes = key.reveal();
  if (HMAC(EVP_sha256(), bytes.data(), static_cast<int>(bytes.size()), data.data(), data.size(),
           digest.data(), &size) == nullptr ||
      size != digest.size()) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused HMAC-SHA256");
  }
  return digest;
}

std::span<const std::uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// OpenSSL takes its inputs without const, and only reads them.
OSSL_PARAM input(const char* name, std::span<const std::uint8_t> bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                           bytes.size());
}

}  // namespace

Secret derive(const Secret& secret, std::string_view label) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> hkdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      hkdf ? EVP_KDF_CTX_new(hkdf.get()) : nullptr, &EVP_KDF_CTX_free);
  char sha256[] = "SHA256";
  const std::array<OSSL_PARAM, 5> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0),
      input(OSSL_KDF_PARAM_KEY, secret.reveal()),
      input(OSSL_KDF_PARAM_SALT, as_bytes("countermark/1")),
      input(OSSL_KDF_PARAM_INFO, as_bytes(label)),
      OSSL_PARAM_construct_end(),
  };
  Digest derived = {};
  if (!context ||
      EVP_KDF_derive(context.get(), derived.data(), derived.size(), parameters.data()) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused HKDF-SHA256");
  }
  Secret result(derived);
  OPENSSL_cleanse(derived.data(), derived.size());
  return result;
}

struct AccountKeys::Mac {
  std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> algorithm{
      EVP_MAC_fetch(nullptr, "HMAC", nullptr), &EVP_MAC_free};
  std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context{
      algorithm ? EVP_MAC_CTX_new(algorithm.get()) : nullptr, &EVP_MAC_CTX_free};
};

AccountKeys::AccountKeys(const Secret& accounts) : mac_(std::make_unique<Mac>()) {
  char sha256[] = "SHA256";
  const std::array<OSSL_PARAM, 2> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
      OSSL_PARAM_construct_end(),
  };
  const auto bytes = accounts.reveal();
  if (!mac_->context ||
      EVP_MAC_init(mac_->context.get(), bytes.data(), bytes.size(), parameters.data()) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused HMAC-SHA256");
  }
}

AccountKeys::AccountKeys(AccountKeys&&) noexcept = default;
AccountKeys::~AccountKeys() = default;

AccountKey AccountKeys::of(std::uint64_t account) {
  std::array<std::uint8_t, 8> data = {};
  base::store(data.data(), account);
  Digest digest = {};
  std::size_t size = 0;
  EVP_MAC_CTX* const context = mac_->context.get();
  // Without a key: the one it has, from its beginning.
  if (EVP_MAC_init(context, nullptr, 0, nullptr) != 1 ||
      EVP_MAC_update(context, data.data(), data.size()) != 1 ||
      EVP_MAC_final(context, digest.data(), &size, digest.size()) != 1 || size != digest.size()) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused HMAC-SHA256");
  }
  const AccountKey key{base::load<std::uint64_t>(digest.data()),
                       base::load<std::uint64_t>(digest.data() + 8)};
  OPENSSL_cleanse(digest.data(), digest.size());
  return key;
}

std::string commitment(const Secret& secret) {
  return base::to_hex(hmac_sha256(secret, as_bytes("countermark key commitment")));
}

std::string key_id(std::string_view commitment) { return std::string(commitment.substr(0, 16)); }

}  // namespace countermark::keys
