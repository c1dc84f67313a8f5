// What every test of a text asks of its input.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "countermark/detector.h"
#include "countermark/profile.h"

namespace countermark::detect {

/// Throws Error(EmptyText), or Error(TokenOutOfRange) naming the position.
void require_text(const Profile& profile, std::span<const TokenId> tokens);

/// Throws Error(TokenOutOfRange); a prompt may be empty.
void require_prompt(const Profile& profile, std::span<const TokenId> prompt);

/// The probabilities that say something: in (0, 1], or NaN. Throws Error(SizeMismatch) or
/// Error(InvalidProbability).
std::vector<double> read(const Proxy& proxy, std::size_t tokens);

/// Throws Error(SizeMismatch) unless there is a range of characters for each token.
void require_ranges(std::size_t tokens, std::size_t ranges);

/// The characters from the first to the last of some tokens, at least one.
std::pair<std::size_t, std::size_t> range_of(
    std::span<const std::pair<std::size_t, std::size_t>> characters);

}  // namespace countermark::detect
