// The loops over a row or a text, once for each instruction set. The scalar table is the law: with
// any other, the same tokens are selected and the same hashes scored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "countermark/logits.h"
#include "countermark/token.h"

namespace countermark::kernels {

/// Rows are walked over in blocks of so many tokens; token t of a block stands in lane t % lanes.
inline constexpr std::size_t block_size = 128;
inline constexpr std::size_t lanes = 16;

/// Bytes of a logit.
constexpr std::size_t logit_size(Logits::Type type) noexcept {
  return type == Logits::Type::Float32 ? 4 : 2;
}

/// Whole blocks of a row. `first` is the id of the first logit, a multiple of block_size.
struct Blocks {
  const void* logits;
  std::size_t first;
  std::size_t count;
};

/// What the hash of a token needs: the seed of the position and the key of an account, if any.
struct HashKeys {
  std::uint64_t k1 = 0, k2 = 0;
  bool has_account = false;
  std::uint64_t a1 = 0, a2 = 0;
};

/// A bound on 1 - U that rises with the logit: 2^(scale * logit + offset), taken 2^23 times in the
/// exponent so that its sum is the bit pattern of a float in units of 2^-31. Made by race_bound().
struct Bound {
  float scale;
  float offset;
};

/// Lanes of a block in which some token may be within the bound.
struct Hit {
  std::uint32_t block;  ///< From the first of the blocks looked at.
  std::uint32_t lanes;  ///< Bit l: one of the tokens l, l + 16, ... of the block.
};

/// What a pass over logits has seen.
struct Seen {
  float largest = -std::numeric_limits<float>::infinity();
  bool has_nan = false;
};

/// Sums over logits x of w = 2^t and of w * t, where t = scale * (x - largest).
struct Sums {
  double weights = 0.0;
  double weighted_exponents = 0.0;
};

/// The loops over logits of one type.
struct RowKernels {
  /// Writes the lanes that hold a token whose 1 - U is at most the bound of its logit, and perhaps
  /// others, to `hits` (room for one a block). Returns how many.
  std::size_t (*race)(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits,
                      Seen& seen);

  /// Writes the largest logit of each block to `maxima`.
  void (*survey)(const Blocks& blocks, float* maxima, Seen& seen);

  /// Writes the ids whose logit is at least `least`, ascending, to `ids` (room for all). Blocks
  /// whose maximum is less are not looked at. Returns how many.
  std::size_t (*collect)(const Blocks& blocks, const float* maxima, float least, TokenId* ids);

  /// Over the logits less than `below`, to a relative error of sums_error. Exponents below -126
  /// count as -126.
  Sums (*sum)(const Blocks& blocks, float largest, float scale, float below);
};

/// Accounts are looked at in groups of so many.
inline constexpr std::size_t account_lanes = 32;

/// Keys of accounts, of which prf::linear(a1) is all that is needed of the first half.
struct AccountColumns {
  const std::uint64_t* linear_a1;
  const std::uint64_t* a2;
  /// A multiple of account_lanes.
  std::size_t count;
};

/// Positions that a product may take: sixteen factors of 2^-53 and more are no subnormal.
inline constexpr std::size_t most_factors = 16;

struct Table {
  const char* name;

  /// By Logits::Type.
  std::array<RowKernels, 3> rows;

  /// The hashes of `size` tokens, each under its own seed {k1, k2} and all under one account.
  void (*hash)(const TokenId* tokens, const std::uint64_t* k1, const std::uint64_t* k2,
               const HashKeys& account, std::size_t size, std::uint64_t* hashes);

  /// For each account the product of 1 - U over `size` positions, at most most_factors, in their
  /// order. `hashes` are those of a position's token before the account's own mix.
  void (*multiply)(const AccountColumns& accounts, const std::uint64_t* hashes, std::size_t size,
                   double* products);

  /// Adds to each account's sum what `weights` (prf::uniform_cells of them) says of the cell
  /// of U at one position.
  void (*weigh)(const AccountColumns& accounts, std::uint64_t hash, const std::int32_t* weights,
                std::int64_t* sums);

  const RowKernels& of(Logits::Type type) const noexcept {
    return rows[static_cast<std::size_t>(type)];
  }
};

/// Relative, of `Sums::weights`. An exponent t is off by three roundings, 3 * 2^-24 * |t|, and the
/// mean of |t| under the weights is at most log2 of the number of tokens, 31: 3.9e-6 of 2^t. Its
/// series adds 1.2e-7, and sums of 128 floats 7e-7.
inline constexpr double sums_error = 5e-6;

/// The bound to find every token whose log2 of -ln U, less c times its logit, can be at most
/// `best`.
Bound race_bound(double best, double c) noexcept;

extern const Table scalar_table;
#if defined(__x86_64__)
extern const Table avx2_table;
extern const Table avx512_table;
#endif

/// The tables that this machine can run, the slowest first.
std::span<const Table* const> available() noexcept;

/// The fastest, or the one that the environment variable COUNTERMARK_FORCE_KERNEL names ("scalar",
/// "avx2", "avx512"; a name that this machine cannot run is not obeyed).
const Table& active() noexcept;

}  // namespace countermark::kernels
