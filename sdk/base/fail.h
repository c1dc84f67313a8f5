// Errors built from parts, so that a message that names field, value and range stays one line.
#pragma once

#include <sstream>

#include "countermark/error.h"

namespace countermark {

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

}  // namespace countermark
