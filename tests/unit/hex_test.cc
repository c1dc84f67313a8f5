#include "base/hex.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

using countermark::base::from_hex;
using countermark::base::to_hex;

TEST_CASE("hex: every byte comes back, in lower case") {
  std::vector<std::uint8_t> bytes(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  const std::string hex = to_hex(bytes);
  CHECK(hex.substr(0, 6) == "000102");
  CHECK(hex.substr(506) == "fdfeff");
  std::vector<std::uint8_t> back(256);
  REQUIRE(from_hex(hex, back));
  CHECK(back == bytes);
  CHECK(to_hex({}).empty());
}

TEST_CASE("hex: anything but two digits a byte is refused, and the bytes are wiped") {
  for (const char* hex : {"", "0", "01", "012", "01234", "0g", "01 2", " 123", "0x12", "+1+2",
                          "-1-2", "12\n3", "0123456"}) {
    CAPTURE(hex);
    std::array<std::uint8_t, 2> bytes = {7, 7};
    CHECK_FALSE(from_hex(hex, bytes));
    CHECK(bytes == std::array<std::uint8_t, 2>{0, 0});
  }
}
