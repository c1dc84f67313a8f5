// Reading and replacing small files that hold secrets.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/wiped.h"

namespace countermark::base {

/// The whole file. With `private_only`, throws Error(ReadableByOthers) where the group or others
/// may read it. Throws Error(FileFailure).
WipedString read_file(const std::filesystem::path& path, bool private_only);

/// Replaces the file by `content` with mode 0600, atomically and durably. Throws
/// Error(FileFailure), and then the old file is untouched.
void replace_file(const std::filesystem::path& path, std::string_view content);

}  // namespace countermark::base
