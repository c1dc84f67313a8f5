// Integers as the formats store them: little-endian, whatever the machine.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace countermark::base {

static_assert(std::endian::native == std::endian::little,
              "the formats are little-endian; swap bytes in this file to port the library");

template <typename Integer>
Integer load(const std::uint8_t* bytes) noexcept {
  Integer value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename Integer>
void store(std::uint8_t* bytes, Integer value) noexcept {
  std::memcpy(bytes, &value, sizeof value);
}

}  // namespace countermark::base
