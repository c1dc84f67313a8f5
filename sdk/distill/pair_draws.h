// What a key has drawn for the pairs of context and token.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "detect/keyed_mark.h"
#include "distill/weighted_pairs.h"
#include "keys/derivation.h"

namespace countermark::distill {

class PairDraws {
 public:
  /// Of countermark/1 the narrow layer; else the mark of an engine that draws_pairs(). `pairs` must
  /// live as long. Throws Error(CryptoFailure).
  PairDraws(const detect::KeyedMark& mark, const WeightedPairs& pairs);

  /// Of the contexts, under countermark/1, whatever their route; none under an engine's mark.
  std::span<const keys::Seed> seeds() const noexcept { return seeds_; }
  /// Whether the key has drawn anything after context i that it has not drawn after one before it.
  bool has(std::size_t i) const noexcept { return has_[i]; }

  /// The score of pair k, which belongs to a context i that the key has() drawn after: -ln(1 - U),
  /// or a most powerful test's U^(1 / P - 1) - P.
  double score(std::size_t i, std::size_t k) const;

 private:
  const WeightedPairs& pairs_;
  std::vector<bool> has_;
  std::vector<keys::Seed> seeds_;
  /// 1 - U of each pair, under an engine's mark.
  std::vector<double> rests_;
};

}  // namespace countermark::distill
