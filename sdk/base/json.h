// JSON as the project uses it: parsed once, every mistake an Error that names the field.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/fail.h"
#include "base/json_fwd.h"

namespace countermark::base {

/// Parses `text`, or throws Error(code) saying that `what` is no JSON and where it breaks off.
template <typename Text>
Json parse_json(const Text& text, ErrorCode code, std::string_view what) {
  // What nlohmann parses without recursion it copies and writes with it: a hostile depth would
  // overflow the stack later.
  constexpr int deepest = 64;
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > deepest) fail(code, what, " is nested deeper than ", deepest, " levels");
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const Json::parse_error& error) {
    // The exception's own text quotes the input, which may be a secret.
    fail(code, what, " is not valid JSON: it breaks off at byte ", error.byte, " of ", text.size());
  } catch (const Json::exception&) {
    fail(code, what, " is not valid JSON");
  }
}

/// The field `name` of `object`, or throws Error(code) saying that `what` lacks it.
inline const Json& require_field(const Json& object, const char* name, ErrorCode code,
                                 std::string_view what) {
  if (!object.is_object()) fail(code, what, " must be a JSON object");
  const auto field = object.find(name);
  if (field == object.end()) fail(code, what, " has no field \"", name, "\"");
  return *field;
}

/// The string field `name` of `object`, or throws Error(code).
inline std::string require_string(const Json& object, const char* name, ErrorCode code,
                                  std::string_view what) {
  const Json& field = require_field(object, name, code, what);
  if (!field.is_string()) fail(code, what, ": field \"", name, "\" must be a string");
  return field.get<std::string>();
}

}  // namespace countermark::base
