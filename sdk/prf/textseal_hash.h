// The 13-bit hash of TextSeal: docs/spec/meta-textseal.md, section 2. Linear up to its last steps
// and small: whoever sees enough marked text can solve it for the key.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "countermark/token.h"

namespace countermark::prf {

/// Values are 0 to textseal_values - 1.
inline constexpr std::int64_t textseal_values = 8191;
inline constexpr std::size_t textseal_widest = 10;

/// `context` is the oldest token first, at most textseal_widest. 64-bit arithmetic wraps.
inline std::int64_t textseal_hash(std::int64_t key, std::span<const TokenId> context,
                                  std::int64_t token) noexcept {
  constexpr std::array<std::uint64_t, textseal_widest> primes = {
      10000019, 10000247, 10000439, 10000643, 10000747,
      10000867, 10000993, 10001213, 10001357, 10001501};
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < context.size(); ++i) {
    sum += primes[i] * static_cast<std::uint64_t>(std::int64_t{context[i]});
  }
  std::uint64_t h = sum + 100000007 * static_cast<std::uint64_t>(token) +
                    500001713 * static_cast<std::uint64_t>(key);
  h *= 15485863;
  h *= 40499;
  auto signed_h = static_cast<std::int64_t>(h);
  signed_h ^= signed_h >> 13;
  const std::int64_t rest = signed_h % textseal_values;
  return rest < 0 ? rest + textseal_values : rest;
}

}  // namespace countermark::prf
