// What each pair of context and token weighs, before any key is looked at.
#pragma once

#include <cstddef>
#include <vector>

#include "countermark/distillation.h"
#include "distill/pair_counts.h"
#include "keys/aes.h"

namespace countermark::distill {

struct WeightedPairs {
  struct Pair {
    TokenId token;
    /// Its weight's number in `weights`.
    std::uint32_t weight;
  };

  std::vector<keys::Block> contexts;
  /// Those of context i are pairs[begins[i]] to pairs[begins[i + 1] - 1].
  std::vector<std::size_t> begins;
  std::vector<Pair> pairs;
  /// Distinct, none of them 0: rounded to eight bits, so that they are few.
  std::vector<double> weights;

  /// The sum of the squares of all pairs' weights.
  double squares() const;
};

/// `reference` is looked at for PairWeights::Reference.
WeightedPairs weigh(const PairCounts& counts, const PairCounts& reference, PairWeights weights);

}  // namespace countermark::distill
