#include "keys/secret.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iostream>
#include <type_traits>
#include <vector>

#include "keys/derivation.h"
#include "support.h"

using namespace countermark;
using keys::Secret;

namespace {

template <typename T>
concept Printable = requires(std::ostream& stream, const T& value) {
  stream << value;
};

// It holds no conversion by which its bytes could slip into a string or a log.
static_assert(!Printable<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<std::span<const std::uint8_t>, Secret>);

}  // namespace

TEST_CASE("Secret: holds 1 to 4096 bytes") {
  for (const std::size_t size : {0, 4097}) {
    CAPTURE(size);
    const std::vector<std::uint8_t> bytes(size, 0xAB);
    const auto thrown = test::thrown_by([&] { Secret{bytes}; });
    CHECK(thrown.code == ErrorCode::InvalidKey);
    CHECK(thrown.message == "a secret must hold 1 to 4096 bytes, got " + std::to_string(size));
  }
  for (const std::size_t size : {1, 8, 240, 4096}) {
    const std::vector<std::uint8_t> bytes(size, 0xAB);
    CHECK(Secret(bytes).reveal().size() == size);
    CHECK(Secret(bytes) == Secret(bytes));
    CHECK_FALSE(Secret(bytes) == Secret(std::vector<std::uint8_t>(size == 1 ? 2 : size - 1, 0xAB)));
  }
  const auto bytes = test::secret_bytes(7);
  const Secret secret(bytes);
  CHECK(std::equal(bytes.begin(), bytes.end(), secret.reveal().begin()));
}

TEST_CASE("Secret: equals what holds the same bytes, and nothing else") {
  auto bytes = test::secret_bytes(7);
  const Secret secret(bytes);
  const Secret copy = secret;
  CHECK(copy == secret);
  CHECK(Secret(bytes) == secret);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 1;
    CHECK_FALSE(Secret(bytes) == secret);
    bytes[i] ^= 1;
  }
}

TEST_CASE("Secret: drawn ones differ") { CHECK_FALSE(Secret::generate() == Secret::generate()); }

TEST_CASE("derive: each label has its own key, and the same one every time") {
  const Secret secret = test::secret(7);
  CHECK(keys::derive(secret, "narrow") == keys::derive(secret, "narrow"));
  CHECK_FALSE(keys::derive(secret, "narrow") == keys::derive(secret, "wide"));
  CHECK_FALSE(keys::derive(secret, "narrow") == keys::derive(test::secret(8), "narrow"));
}
