#include "countermark/version.h"

namespace countermark {

std::string_view version() noexcept { return COUNTERMARK_VERSION; }

}  // namespace countermark
