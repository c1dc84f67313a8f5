// The hash of countermark/1 and its uniforms: docs/spec/countermark-1.md, section 5.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace countermark::prf {

inline constexpr std::uint64_t mix_prime = 0x9FB21C651E98DF25;

/// What mix does to x ^ k1 first: linear over xor.
constexpr std::uint64_t linear(std::uint64_t x) noexcept {
  return x ^ std::rotl(x, 49) ^ std::rotl(x, 24);
}

/// mix(k1, k2, x) from linear(x ^ k1).
inline std::uint64_t mix_linear(std::uint64_t z, std::uint64_t k2) noexcept {
  z *= mix_prime;
  z ^= ((z >> 35) + 8) ^ k2;
  z *= mix_prime;
  return z ^ (z >> 28);
}

inline std::uint64_t mix(std::uint64_t k1, std::uint64_t k2, std::uint64_t x) noexcept {
  return mix_linear(linear(x ^ k1), k2);
}

/// U and 1 - U of a hash. Both are exact; neither can be 0 or 1.
inline double uniform(std::uint64_t hash) noexcept {
  return (static_cast<double>(hash >> 12) + 0.5) * 0x1p-52;
}
inline double one_minus_uniform(std::uint64_t hash) noexcept {
  constexpr std::uint64_t last = (std::uint64_t{1} << 52) - 1;
  return (static_cast<double>(last - (hash >> 12)) + 0.5) * 0x1p-52;
}

/// -ln U, which selection minimises over the weights.
inline double exponential(std::uint64_t hash) noexcept {
  const double u = uniform(hash);
  return u > 0.5 ? -std::log1p(-one_minus_uniform(hash)) : -std::log(u);
}

/// -ln(1 - U), which detection adds up: Exponential(1) under the null. 1 - U is exact, so that its
/// logarithm loses nothing where U is small.
inline double score(std::uint64_t hash) noexcept { return -std::log(one_minus_uniform(hash)); }

}  // namespace countermark::prf
