// A row as the whole blocks that kernels take: the caller's own memory, and a padded copy of what
// is left over at its end.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "countermark/error.h"
#include "countermark/logits.h"
#include "countermark/token.h"
#include "kernels/kernels.h"

namespace countermark::embed {

/// Whether logits that were all seen can be drawn from: InvalidLogits, NoCandidate or Ok.
inline ErrorCode code_of(const kernels::Seen& seen) noexcept {
  if (seen.has_nan || seen.largest == HUGE_VALF) return ErrorCode::InvalidLogits;
  return seen.largest == -HUGE_VALF ? ErrorCode::NoCandidate : ErrorCode::Ok;
}

class BlockedRow {
 public:
  /// The first `size` logits, at most as many as there are.
  BlockedRow(const kernels::Table& table, Logits logits, std::size_t size) noexcept;
  BlockedRow(const BlockedRow&) = delete;
  BlockedRow& operator=(const BlockedRow&) = delete;

  std::size_t size() const noexcept { return size_; }
  Logits::Type type() const noexcept { return type_; }
  const void* data() const noexcept { return data_; }
  /// Blocks, the one at the end included.
  std::size_t block_count() const noexcept {
    return (size_ + kernels::block_size - 1) / kernels::block_size;
  }

  /// `count` blocks from the `begin`-th on, by `visit(blocks, begin of these blocks)`: in one
  /// piece, or in two where the last block is among them.
  template <typename Visit>
  void visit(std::size_t begin, std::size_t count, Visit&& visit) const {
    const std::size_t whole = size_ / kernels::block_size;
    const std::size_t end = begin + count;
    if (begin < whole) visit(whole_blocks(begin, (end < whole ? end : whole) - begin), begin);
    if (end > whole) visit(kernels::Blocks{tail_.data(), whole * kernels::block_size, 1}, whole);
  }

  /// Kernels over the whole row; see kernels::RowKernels.
  void survey(std::span<float> maxima, kernels::Seen& seen) const;
  /// The ids are in `room`, which keeps its size from row to row, so that it is filled but once.
  std::span<const TokenId> collect(std::span<const float> maxima, float least,
                                   std::vector<TokenId>& room) const;
  kernels::Sums sum(float largest, float scale, float below = HUGE_VALF) const;

  const kernels::RowKernels& kernels() const noexcept { return kernels_; }

 private:
  kernels::Blocks whole_blocks(std::size_t begin, std::size_t count) const noexcept;

  const kernels::RowKernels& kernels_;
  const void* data_;
  std::size_t size_;
  Logits::Type type_;
  alignas(64) std::array<std::byte, kernels::block_size * sizeof(float)> tail_;
};

}  // namespace countermark::embed
