// What is computed from a secret: docs/spec/countermark-1.md, section 2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "keys/secret.h"

namespace countermark::keys {

/// An account's key in the wide layer.
struct AccountKey {
  std::uint64_t a1 = 0, a2 = 0;

  bool operator==(const AccountKey&) const = default;
};

/// HKDF-SHA256 of the secret with salt "countermark/1" and `label` as info. Each use of a secret
/// has its own label, listed in the specification. Throws Error(CryptoFailure).
Secret derive(const Secret& secret, std::string_view label);

/// The keys of accounts under K_accounts, many of them. For one thread at a time.
class AccountKeys {
 public:
  /// Throws Error(CryptoFailure).
  explicit AccountKeys(const Secret& accounts);
  AccountKeys(AccountKeys&&) noexcept;
  ~AccountKeys();

  /// Throws Error(CryptoFailure).
  AccountKey of(std::uint64_t account);

 private:
  struct Mac;
  std::unique_ptr<Mac> mac_;
};

/// The public commitment to a secret, 64 hex digits. Throws Error(CryptoFailure).
std::string commitment(const Secret& secret);

/// The part of a commitment that names the key: its first 16 digits.
std::string key_id(std::string_view commitment);

}  // namespace countermark::keys
