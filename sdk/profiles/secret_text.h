// The text of a key ring file apart from its secrets: a JSON library keeps copies of what it reads
// and writes in memory that nobody wipes, so it gets to see placeholders only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/wiped.h"

namespace countermark::profiles {

/// What stands for secret `i`: as long as its hex digits, a multiple of 16, and no hex.
std::string placeholder(std::size_t i, std::size_t digits);

/// The number in a placeholder; empty for any other text.
std::optional<std::size_t> placeholder_index(std::string_view text);

/// Cuts the value of every field "secret" that is a multiple of 16 hex digits (words of 64 bits)
/// out of the JSON `text`, in its order, and leaves placeholders. Positions in the text stay what
/// they were.
std::vector<base::WipedString> cut_secrets(base::WipedString& text);

/// Puts `hex` where the JSON `text` has a field "secret" with placeholder `i`.
void fill_secret(base::WipedString& text, std::size_t i, std::string_view hex);

}  // namespace countermark::profiles
