// What is computed from a secret: docs/spec/countermark-1.md, section 2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "keys/secret.h"

namespace countermark::keys {

/// An account's key in the wide layer.
struct AccountKey {
  std::uint64_t a1 = 0, a2 = 0;
};

/// HKDF-SHA256 of the secret with salt "countermark/1" and `label` as info. Each use of a secret
/// has its own label, listed in the specification. Throws Error(CryptoFailure).
Secret derive(const Secret& secret, std::string_view label);

/// The key of `account` under K_accounts. Throws Error(CryptoFailure).
AccountKey account_key(const Secret& accounts, std::uint64_t account);

/// The public commitment to a secret, 64 hex digits. Throws Error(CryptoFailure).
std::string commitment(const Secret& secret);

/// The part of a commitment that names the key: its first 16 digits.
std::string key_id(std::string_view commitment);

}  // namespace countermark::keys
