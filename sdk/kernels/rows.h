// Logits of any type as floats, one at a time.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "countermark/logits.h"

namespace countermark::kernels {

/// A row by its type.
template <Logits::Type type>
struct Row;

template <>
struct Row<Logits::Type::Float32> {
  const float* data;
  explicit Row(const void* logits) noexcept : data(static_cast<const float*>(logits)) {}

  float operator[](std::size_t i) const noexcept { return data[i]; }
};

template <>
struct Row<Logits::Type::Float16> {
  const std::uint16_t* data;
  explicit Row(const void* logits) noexcept : data(static_cast<const std::uint16_t*>(logits)) {}

  // IEEE binary16: a sign, 5 bits of exponent, 10 of fraction. Every value is exact in float32.
  float operator[](std::size_t i) const noexcept {
    const int exponent = (data[i] >> 10) & 0x1F;
    const int fraction = data[i] & 0x3FF;
    float magnitude = 0.0F;
    if (exponent == 0x1F) {
      magnitude = fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : HUGE_VALF;
    } else {
      const int hidden = exponent != 0 ? 0x400 : 0;
      // 2^(exponent - 25) by its bits; no float on the way is subnormal.
      const int unit = (exponent != 0 ? exponent : 1) - 25 + 127;
      magnitude = static_cast<float>(fraction + hidden) * std::bit_cast<float>(unit << 23);
    }
    return (data[i] & 0x8000) != 0 ? -magnitude : magnitude;
  }
};

template <>
struct Row<Logits::Type::BFloat16> {
  const std::uint16_t* data;
  explicit Row(const void* logits) noexcept : data(static_cast<const std::uint16_t*>(logits)) {}

  float operator[](std::size_t i) const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(data[i]) << 16);
  }
};

/// Calls `body` with the row as its own type, so that the type is looked at once a row.
template <typename Body>
auto with_row(const void* logits, Logits::Type type, Body&& body) {
  switch (type) {
    case Logits::Type::Float16:
      return body(Row<Logits::Type::Float16>(logits));
    case Logits::Type::BFloat16:
      return body(Row<Logits::Type::BFloat16>(logits));
    case Logits::Type::Float32:
      break;
  }
  return body(Row<Logits::Type::Float32>(logits));
}

}  // namespace countermark::kernels
