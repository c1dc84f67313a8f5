// JSON's name, for headers that pass it on: its definition takes a compiler a second.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace countermark::base {

/// Keeps the order of fields, so that what is read is written back alike.
using Json = nlohmann::ordered_json;

}  // namespace countermark::base
