// The positions of a text that account keys score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/detector.h"
#include "keys/derivation.h"
#include "marks/countermark_1.h"

namespace countermark::trace {

struct WideLayer {
  /// Of each scored position, in order: its token's number in the text, and its hash before an
  /// account's own mix.
  std::vector<std::size_t> positions;
  std::vector<std::uint64_t> hashes;
  /// How many of them lie in the free prefix.
  std::size_t in_prefix = 0;

  std::size_t size() const noexcept { return hashes.size(); }
  /// The positions of tokens `begin` to `end - 1`; none is in the prefix.
  WideLayer part(std::size_t begin, std::size_t end) const;

  /// 1 - U of each position under an account's key, or under none.
  std::vector<double> rests(const std::optional<keys::AccountKey>& account) const;
};

/// Throws Error(CryptoFailure).
WideLayer wide_layer_of(const marks::Countermark1& mark, std::span<const TokenId> tokens);

}  // namespace countermark::trace
