// U in cells: eight to an octave of 1 - U below one half, and of U above it, so that both ends are
// resolved.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace countermark::prf {

inline constexpr int uniform_cell_bits = 3;
/// The least that 1 - U or U can be.
inline constexpr double least_uniform = 0x1p-53;
/// Cells on each side of one half, and all.
inline constexpr std::size_t uniform_side = std::size_t{52} << uniform_cell_bits;
inline constexpr std::size_t uniform_cells = 2 * uniform_side;

/// The exponent and the first bits of the fraction: whole numbers in the order of the values.
constexpr std::size_t uniform_key(double value) noexcept {
  return static_cast<std::size_t>(std::bit_cast<std::uint64_t>(value) >> (52 - uniform_cell_bits));
}
constexpr double uniform_of_key(std::size_t key) noexcept {
  return std::bit_cast<double>(static_cast<std::uint64_t>(key) << (52 - uniform_cell_bits));
}

/// The cell of U, given 1 - U in [2^-53, 1): from the nearest to 1 on.
constexpr std::size_t uniform_cell(double rest) noexcept {
  constexpr std::size_t first = uniform_key(least_uniform);
  return rest < 0.5 ? uniform_key(rest) - first
                    : uniform_cells - 1 - (uniform_key(1.0 - rest) - first);
}

}  // namespace countermark::prf
