#include "embed/blocked_row.h"

#include <cmath>
#include <cstring>

namespace countermark::embed {
namespace {

/// -inf in each type.
void fill_with_minus_infinity(Logits::Type type, std::byte* at, std::size_t count) noexcept {
  const std::uint16_t bits = type == Logits::Type::Float16 ? 0xFC00 : 0xFF80;
  for (std::size_t i = 0; i < count; ++i) {
    if (type == Logits::Type::Float32) {
      const float value = -HUGE_VALF;
      std::memcpy(at + i * sizeof value, &value, sizeof value);
    } else {
      std::memcpy(at + i * sizeof bits, &bits, sizeof bits);
    }
  }
}

}  // namespace

BlockedRow::BlockedRow(const kernels::Table& table, Logits logits, std::size_t size) noexcept
    : kernels_(table.of(logits.type())), data_(logits.data()), size_(size), type_(logits.type()) {
  const std::size_t rest = size % kernels::block_size;
  if (rest == 0) return;
  const std::size_t bytes = rest * kernels::logit_size(type_);
  std::memcpy(tail_.data(),
              static_cast<const std::byte*>(data_) + (size - rest) * kernels::logit_size(type_),
              bytes);
  fill_with_minus_infinity(type_, tail_.data() + bytes, kernels::block_size - rest);
}

kernels::Blocks BlockedRow::whole_blocks(std::size_t begin, std::size_t count) const noexcept {
  const std::size_t first = begin * kernels::block_size;
  return {static_cast<const std::byte*>(data_) + first * kernels::logit_size(type_), first, count};
}

void BlockedRow::survey(std::span<float> maxima, kernels::Seen& seen) const {
  visit(0, block_count(), [&](const kernels::Blocks& blocks, std::size_t begin) {
    kernels_.survey(blocks, maxima.data() + begin, seen);
  });
}

std::span<const TokenId> BlockedRow::collect(std::span<const float> maxima, float least,
                                             std::vector<TokenId>& room) const {
  const std::size_t most = block_count() * kernels::block_size;
  if (room.size() < most) room.resize(most);
  std::size_t count = 0;
  visit(0, block_count(), [&](const kernels::Blocks& blocks, std::size_t begin) {
    count += kernels_.collect(blocks, maxima.data() + begin, least, room.data() + count);
  });
  return std::span(room).first(count);
}

kernels::Sums BlockedRow::sum(float largest, float scale, float below) const {
  kernels::Sums sums;
  visit(0, block_count(), [&](const kernels::Blocks& blocks, std::size_t) {
    const kernels::Sums part = kernels_.sum(blocks, largest, scale, below);
    sums.weights += part.weights;
    sums.weighted_exponents += part.weighted_exponents;
  });
  return sums;
}

}  // namespace countermark::embed
