#include "profiles/secret_text.h"

#include <doctest/doctest.h>

#include <string>

using namespace countermark;
using base::WipedString;

namespace {

const std::string hex_a(64, 'a');
const std::string hex_b(64, 'B');

WipedString wiped(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

TEST_CASE("cut_secrets: takes every secret out, in its order, and fill_secret puts it back") {
  const WipedString before =
      wiped(R"({"x": [{"secret":")" + hex_a + R"("}, {"secret" : ")" + hex_b + R"("}]})");
  WipedString text = before;
  const auto secrets = profiles::cut_secrets(text);
  REQUIRE(secrets.size() == 2);
  CHECK(secrets[0] == wiped(hex_a));
  CHECK(secrets[1] == wiped(hex_b));
  CHECK(text.size() == before.size());
  CHECK(text.find(hex_a.substr(0, 8)) == text.npos);
  CHECK(text.find(hex_b.substr(0, 8)) == text.npos);
  profiles::fill_secret(text, 1, hex_b);
  profiles::fill_secret(text, 0, hex_a);
  CHECK(text == before);
}

TEST_CASE("cut_secrets: leaves alone what is no secret") {
  for (const std::string& text : {
           std::string(R"({"secret": 5, "secret": "short"})"),
           R"({"commitment": ")" + hex_a + R"("})",
           R"({"note": "\"secret\": \")" + hex_a + R"(\""})",
           R"({"secret": ")" + hex_a.substr(1) + R"("})",
           R"({"secret": ")" + hex_a.substr(1) + R"(g"})",
           std::string(R"({"secret": ")"),
           std::string(R"({"secret")"),
       }) {
    CAPTURE(text);
    WipedString cut = wiped(text);
    CHECK(profiles::cut_secrets(cut).empty());
    CHECK(cut == wiped(text));
  }
}

TEST_CASE("placeholder_index: reads placeholders and nothing else") {
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, std::size_t{12345}}) {
    CHECK(profiles::placeholder(i, 64).size() == 64);
    CHECK(profiles::placeholder_index(profiles::placeholder(i, 64)) == i);
  }
  CHECK_FALSE(profiles::placeholder_index(hex_a));
  CHECK_FALSE(profiles::placeholder_index("#0"));
  CHECK_FALSE(profiles::placeholder_index(std::string(64, '#')));
  CHECK_FALSE(profiles::placeholder_index("#01" + std::string(61, '#')));
}
