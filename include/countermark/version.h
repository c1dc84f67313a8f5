// The version of the library that was loaded.
#pragma once

#include <string_view>

#include "countermark/export.h"

namespace countermark {

/// "major.minor.patch" of the loaded library. While major is 0, every minor may break the ABI;
/// a mark's output never changes with the version.
COUNTERMARK_API std::string_view version() noexcept;

}  // namespace countermark
