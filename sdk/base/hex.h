// Bytes as lower-case hex digits, and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace countermark::base {

std::string to_hex(std::span<const std::uint8_t> bytes);

/// Writes the bytes of `hex` into `bytes`; false, with `bytes` wiped, unless `hex` is exactly two
/// digits a byte.
bool from_hex(std::string_view hex, std::span<std::uint8_t> bytes) noexcept;

}  // namespace countermark::base
