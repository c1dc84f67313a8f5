// The first half of `mix` as sums of two table entries.
//
// L(x) = x ^ rotl(x, 49) ^ rotl(x, 24), with which mix begins, is linear over xor. For the id t of
// a token, bits 0..6 and bits 7..14 of t reach disjoint bits of L(t << 32). A flip of disjoint bits
// is an addition, whatever the other bits do; so, with K = L(k1) ^ L(the id's bits from 15 on),
//   L(k1 ^ t << 32) * P = (K ^ L(t's bits 7..14)) * P + D[t's bits 0..6]      (mod 2^64)
// where D[l] = (K ^ L(l << 32)) * P - K * P. D holds for 2^15 ids, and a block costs one product.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "prf/mix.h"

namespace countermark::kernels {

/// Ids that share a table: aligned stretches of so many.
inline constexpr std::size_t span_size = std::size_t{1} << 15;

class LaneTable {
 public:
  /// The bit of a lane that each bit of its entry's place stands for.
  using Order = std::array<unsigned, 7>;

  /// `span` is the first id of the stretch.
  LaneTable(std::uint64_t k1, std::uint64_t span, const Order& order) noexcept
      : key_(prf::linear(k1) ^ prf::linear(span << 32)) {
    lanes_[0] = 0;
    for (std::size_t bit = 0; bit < order.size(); ++bit) {
      const std::uint64_t flipped = key_ ^ prf::linear(std::uint64_t{1} << (32 + order[bit]));
      const std::uint64_t step = (flipped - key_) * prf::mix_prime;
      const std::size_t half = std::size_t{1} << bit;
      for (std::size_t l = 0; l < half; ++l) lanes_[half + l] = lanes_[l] + step;
    }
  }

  /// What the lanes of the block at id `span + offset` add their entries to.
  std::uint64_t base(std::uint64_t offset) const noexcept {
    return (key_ ^ prf::linear(offset << 32)) * prf::mix_prime;
  }
  const std::uint64_t* lanes() const noexcept { return lanes_.data(); }

 private:
  std::uint64_t key_;
  alignas(64) std::array<std::uint64_t, block_size> lanes_;
};

}  // namespace countermark::kernels
