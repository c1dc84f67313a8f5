// The table of marks: the one place that lists them.
#pragma once

#include <string_view>

#include "base/json.h"

namespace countermark::marks {

/// What a profile needs to know of its mark.
struct MarkEntry {
  /// Name and revision, as profiles spell it.
  std::string_view name;
  /// Validates a profile's parameters and writes the missing ones' defaults into them.
  void (*complete)(base::Json& parameters);
};

/// The mark called `name`. Throws Error(UnknownMark), naming the marks there are.
const MarkEntry& find(std::string_view name);

}  // namespace countermark::marks
