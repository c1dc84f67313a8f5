// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11), and the hash
// that vLLM builds on it: docs/spec/vllm-gumbel.md, section 2.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "countermark/token.h"

namespace countermark::prf {

using PhiloxBlock = std::array<std::uint32_t, 4>;

inline PhiloxBlock philox(PhiloxBlock c, std::uint32_t k0, std::uint32_t k1) noexcept {
  constexpr std::uint64_t m0 = 0xD2511F53, m1 = 0xCD9E8D57;
  constexpr std::uint32_t w0 = 0x9E3779B9, w1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = m0 * c[0], p1 = m1 * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += w0;
    k1 += w1;
  }
  return c;
}

/// Which output word belongs to a token. Both are called "philox4x32-10-v1" by vLLM.
enum class PhiloxMapping {
  Lanes,        ///< Of the released versions: four tokens share a block.
  Development,  ///< Of commits before the first release: a block each.
};

/// A context under a key, ready to hash tokens.
class PhiloxContext {
 public:
  PhiloxContext() = default;
  /// A padding token is -1. Any number of tokens.
  PhiloxContext(std::uint64_t key, std::span<const TokenId> context) noexcept
      : k0_(static_cast<std::uint32_t>(key)), k1_(static_cast<std::uint32_t>(key >> 32)) {
    const std::size_t width = context.size();
    state_ = {0x574D4358, static_cast<std::uint32_t>(width), 0, 0};  // "WMCX"
    for (std::size_t begin = 0; begin < width; begin += 4) {
      for (std::size_t i = 0; i < 4; ++i) {
        const bool is_there = begin + i < width;
        state_[i] ^= is_there ? static_cast<std::uint32_t>(context[begin + i])
                              : 0xFFFFFFFF - static_cast<std::uint32_t>(i);
      }
      state_ = philox(state_, k0_ ^ static_cast<std::uint32_t>(begin), k1_);
    }
  }

  std::uint32_t word(TokenId token, PhiloxMapping mapping) const noexcept {
    const auto id = static_cast<std::uint32_t>(token);
    const bool lanes = mapping == PhiloxMapping::Lanes;
    const PhiloxBlock out = philox({lanes ? id >> 2 : id, state_[0], state_[1], state_[2]},
                                   k0_ ^ state_[3], k1_ ^ 0x574D544B);  // "WMTK"
    return out[lanes ? id & 3 : 0];
  }

 private:
  std::uint32_t k0_ = 0, k1_ = 0;
  PhiloxBlock state_ = {};
};

/// U of a word: (m + 1) / (2^24 + 1) rounded to float, m the upper 24 bits.
inline double philox_uniform(std::uint32_t word) noexcept {
  return static_cast<float>((static_cast<double>(word >> 8) + 1.0) / (0x1p24 + 1.0));
}

}  // namespace countermark::prf
