// What a user would otherwise do: a draw from softmax(logits / temperature), without a mark.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace countermark::bench {

/// The token at quantile `uniform` in [0, 1) of softmax(row) by the vector instructions that
/// `kernel`
/// ("scalar", "avx2", "avx512") names. Two passes: the maximum; then the weights' sums by blocks of
/// 256, in which the token is found at the end. Written as well as we could.
std::size_t plain_softmax_draw(const char* kernel, std::span<const float> row, double uniform);

}  // namespace countermark::bench
