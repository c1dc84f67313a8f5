#include "base/hex.h"

#include <algorithm>
#include <charconv>

namespace countermark::base {

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    hex.push_back(digits[byte >> 4]);
    hex.push_back(digits[byte & 15]);
  }
  return hex;
}

bool from_hex(std::string_view hex, std::span<std::uint8_t> bytes) noexcept {
  bool valid = hex.size() == 2 * bytes.size();
  for (std::size_t i = 0; valid && i < bytes.size(); ++i) {
    const char* first = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(first, first + 2, bytes[i], 16);
    valid = error == std::errc() && end == first + 2;
  }
  if (!valid) std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  return valid;
}

}  // namespace countermark::base
