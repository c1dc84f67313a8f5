#include "base/json.h"

#include <doctest/doctest.h>

#include <string>

#include "base/wiped.h"
#include "support.h"

using namespace countermark;
using base::Json;

TEST_CASE("parse_json: a mistake is told by its place, never by the text itself") {
  for (const std::string text : {"", "{", "{\"secret\": deadbeef}", "[1,]", "{\"a\":1} deadbeef",
                                 "\"deadbeef", "\"deadbeef\xff\"", "nul", "1e999"}) {
    CAPTURE(text);
    const auto thrown =
        test::thrown_by([&] { base::parse_json(text, ErrorCode::InvalidProfile, "the thing"); });
    CHECK(thrown.code == ErrorCode::InvalidProfile);
    CHECK(thrown.names("the thing is not valid JSON"));
    CHECK_FALSE(thrown.names("deadbeef"));
    const base::WipedString wiped(text.begin(), text.end());
    CHECK(test::thrown_by([&] {
            base::parse_json(wiped, ErrorCode::InvalidKeyRing, "the thing");
          }).code == ErrorCode::InvalidKeyRing);
  }
}

TEST_CASE("parse_json: fields keep their order") {
  const std::string text = R"({"z":1,"a":2,"m":[]})";
  CHECK(base::parse_json(text, ErrorCode::InvalidProfile, "it").dump() == text);
}

TEST_CASE("require_field and require_string: what is missing or of another type is named") {
  constexpr auto code = ErrorCode::InvalidProfile;
  const Json json = {{"name", "value"}, {"number", 3}};
  CHECK(base::require_string(json, "name", code, "it") == "value");
  CHECK(base::require_field(json, "number", code, "it") == 3);

  const auto missing = test::thrown_by([&] { base::require_string(json, "id", code, "it"); });
  CHECK(missing.code == code);
  CHECK(missing.message == "it has no field \"id\"");
  const auto number = test::thrown_by([&] { base::require_string(json, "number", code, "it"); });
  CHECK(number.message == "it: field \"number\" must be a string");
  const auto array = test::thrown_by([&] { base::require_field(Json::array(), "id", code, "it"); });
  CHECK(array.message == "it must be a JSON object");
}
