// Logits on their way from memory.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace countermark::kernels {

/// Rows come from memory that was written by another device or core: what lies a page behind the
/// block at the i-th logit is asked for early, into the second cache.
template <Logits::Type type>
inline void prefetch_block(const void* logits, std::size_t i) noexcept {
  constexpr std::size_t ahead = 4096, line = 64;
  const char* at = static_cast<const char*>(logits) + i * logit_size(type) + ahead;
  for (std::size_t byte = 0; byte < block_size * logit_size(type); byte += line) {
    __builtin_prefetch(at + byte, 0, 2);
  }
}

}  // namespace countermark::kernels
