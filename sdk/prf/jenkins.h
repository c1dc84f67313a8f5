// The integer hash of SBW, after Jenkins: docs/spec/green-lists.md, section 4.
#pragma once

#include <cstdint>

#include "countermark/token.h"

namespace countermark::prf {

/// 32-bit arithmetic wraps; shifts to the right keep the sign.
inline std::int64_t jenkins(TokenId token) noexcept {
  const auto left = [](std::int32_t x, int by) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) << by);
  };
  const auto minus = [](std::int32_t a, std::int32_t b) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
  };
  auto i = static_cast<std::int32_t>(static_cast<std::uint32_t>(token) + 1);
  i = minus(i, left(i, 6));
  i ^= i >> 17;
  i = minus(i, left(i, 9));
  i ^= left(i, 4);
  i = minus(i, left(i, 3));
  i ^= left(i, 10);
  i ^= i >> 15;
  return i;
}

}  // namespace countermark::prf
