// A mark's parameters as a profile spells them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/json_fwd.h"

namespace countermark::marks {

/// Reads parameters one by one, checks their ranges, and writes the defaults of those that are not
/// there, so that the JSON says everything in the end. Throws Error(InvalidOption) where a value is
/// out of range and Error(InvalidProfile) where it is of another type.
class Parameters {
 public:
  /// The caller keeps `json`.
  explicit Parameters(base::Json& json);

  std::int64_t integer(const char* name, std::int64_t otherwise, std::int64_t low,
                       std::int64_t high);
  /// The same of one that has no default.
  std::int64_t required_integer(const char* name, const char* what, std::int64_t low,
                                std::int64_t high);
  /// The same, or null.
  std::optional<std::int64_t> integer_or_null(const char* name, std::int64_t otherwise,
                                              std::int64_t low, std::int64_t high);
  /// In [low, high].
  double number(const char* name, double otherwise, double low, double high);
  bool boolean(const char* name, bool otherwise);
  /// The first one is the default.
  std::string choice(const char* name, std::initializer_list<std::string_view> choices);
  /// The first name that nobody has asked for, if there is one.
  std::optional<std::string> unknown() const;

  /// A part of the contract that is what it is: written for the reader, and no other value taken.
  void fixed(const char* name, const base::Json& value);

 private:
  /// The field, which is `otherwise` if it is not there.
  base::Json& field(const char* name, const base::Json& otherwise);

  base::Json& json_;
  std::set<std::string> known_;
};

}  // namespace countermark::marks
