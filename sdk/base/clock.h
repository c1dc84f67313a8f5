// The date in files.
#pragma once

#include <string>

namespace countermark::base {

/// Now, as RFC 3339 in UTC to the second: "2026-11-22T04:03:00Z".
std::string rfc3339_now();

/// Whether `text` has the shape of an RFC 3339 date and time.
bool is_rfc3339(const std::string& text);

}  // namespace countermark::base
