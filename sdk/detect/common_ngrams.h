// The n-grams that many documents share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "countermark/token.h"
#include "marks/context_history.h"

namespace countermark::detect {

/// A set of n-grams of any lengths. Two that share a hash count as one: a token in 10^13
/// is left unscored for nothing.
class CommonNgrams {
 public:
  CommonNgrams() = default;
  explicit CommonNgrams(std::span<const std::uint64_t> hashes)
      : hashes_(hashes.begin(), hashes.end()) {}

  /// Those of `width` + 1 tokens, for each of `widths`, that occur in at least `least` documents.
  static std::vector<std::uint64_t> find(std::span<const std::span<const TokenId>> documents,
                                         std::span<const std::size_t> widths, std::size_t least);

  bool contains(std::span<const TokenId> ngram) const noexcept {
    return hashes_.contains(marks::context_hash(ngram));
  }
  bool empty() const noexcept { return hashes_.empty(); }

 private:
  std::unordered_set<std::uint64_t> hashes_;
};

}  // namespace countermark::detect
