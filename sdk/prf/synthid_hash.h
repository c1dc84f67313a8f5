// The hashes of SynthID: docs/spec/synthid.md, section 2. 64-bit arithmetic wraps.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "countermark/token.h"

namespace countermark::prf {

inline constexpr std::uint64_t synthid_multiplier = 6364136223846793005;

/// One step of the linear congruential generator.
inline std::uint64_t synthid_step(std::uint64_t hash, std::uint64_t data) noexcept {
  return (hash + data) * synthid_multiplier + 1;
}

/// The hash of some tokens, from the hash of those before.
inline std::uint64_t synthid_hash(std::uint64_t hash, std::span<const TokenId> tokens) noexcept {
  for (const TokenId token : tokens) {
    hash = synthid_step(hash, static_cast<std::uint64_t>(std::int64_t{token}));
  }
  return hash;
}

/// The bit of a layer's hash in the second version.
inline bool synthid_bit(std::uint64_t hash) noexcept {
  auto x = static_cast<std::int64_t>(hash);
  for (int round = 0; round < 12; ++round) {
    x = static_cast<std::int64_t>((static_cast<std::uint64_t>(x) + 1) * synthid_multiplier + 1) >>
        5;
  }
  return ((x >> 30) & 1) != 0;
}

/// The table of bits of the first version: what torch.randint(0, 2) draws on a CPU. A generator on
/// a GPU draws another one.
inline std::vector<bool> synthid_table(std::size_t size, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<bool> table(size);
  for (std::size_t i = 0; i < size; ++i) table[i] = (generator() & 1) != 0;
  return table;
}

}  // namespace countermark::prf
