#include "marks/parameters.h"

#include <algorithm>

#include "base/fail.h"
#include "base/json.h"

namespace countermark::marks {
namespace {

using base::Json;

[[noreturn]] void fail_type(const char* name, const char* type, const Json& found) {
  fail(ErrorCode::InvalidProfile, "parameter ", name, " must be ", type, ", got ", found.dump());
}

std::int64_t as_integer(const char* name, const Json& field) {
  // An unsigned number beyond int64 would wrap into range.
  if (!field.is_number_integer() ||
      (field.is_number_unsigned() && field.get<std::uint64_t>() > (std::uint64_t{1} << 62))) {
    fail_type(name, "an integer", field);
  }
  return field.get<std::int64_t>();
}

}  // namespace

Parameters::Parameters(Json& json) : json_(json) {
  if (!json.is_object()) fail(ErrorCode::InvalidProfile, "parameters must be a JSON object");
}

Json& Parameters::field(const char* name, const Json& otherwise) {
  known_.insert(name);
  if (!json_.contains(name)) json_[name] = otherwise;
  return json_[name];
}

std::optional<std::string> Parameters::unknown() const {
  for (const auto& item : json_.items()) {
    if (!known_.contains(item.key())) return item.key();
  }
  return std::nullopt;
}

std::int64_t Parameters::integer(const char* name, std::int64_t otherwise, std::int64_t low,
                                 std::int64_t high) {
  const std::int64_t value = as_integer(name, field(name, otherwise));
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::InvalidOption, name, " must be in ", low, "..", high, ", got ", value);
  }
  return value;
}

std::int64_t Parameters::required_integer(const char* name, const char* what, std::int64_t low,
                                          std::int64_t high) {
  if (!json_.contains(name)) {
    fail(ErrorCode::InvalidOption, "this mark needs the parameter ", name, ": ", what);
  }
  return integer(name, low, low, high);
}

std::optional<std::int64_t> Parameters::integer_or_null(const char* name, std::int64_t otherwise,
                                                        std::int64_t low, std::int64_t high) {
  if (field(name, otherwise).is_null()) return std::nullopt;
  return integer(name, otherwise, low, high);
}

double Parameters::number(const char* name, double otherwise, double low, double high) {
  const Json& found = field(name, otherwise);
  if (!found.is_number()) fail_type(name, "a number", found);
  const auto value = found.get<double>();
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::InvalidOption, name, " must be in [", low, ", ", high, "], got ", value);
  }
  return value;
}

bool Parameters::boolean(const char* name, bool otherwise) {
  const Json& found = field(name, otherwise);
  if (!found.is_boolean()) fail_type(name, "true or false", found);
  return found.get<bool>();
}

std::string Parameters::choice(const char* name, std::initializer_list<std::string_view> choices) {
  const Json& found = field(name, *choices.begin());
  if (!found.is_string()) fail_type(name, "a string", found);
  const auto& value = found.get_ref<const std::string&>();
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  std::string known;
  for (const std::string_view one : choices) {
    known += (known.empty() ? "\"" : ", \"") + std::string(one) + "\"";
  }
  fail(ErrorCode::InvalidOption, name, " must be one of ", known, ", got \"", value, "\"");
}

void Parameters::fixed(const char* name, const Json& value) {
  const Json& found = field(name, value);
  if (found != value) {
    fail(ErrorCode::InvalidOption, name, " is ", value.dump(), " in this mark's contract, got ",
         found.dump());
  }
}

}  // namespace countermark::marks
