// What each pair of context and token weighs, before any key is looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "countermark/distillation.h"
#include "distill/pair_counts.h"
#include "keys/aes.h"

namespace countermark::distill {

struct WeightedPairs {
  struct Pair {
    TokenId token;
    /// The number of its kind.
    std::uint32_t kind;
  };
  /// What pairs have in common: rounded, so that they are few.
  struct Kind {
    /// Never 0.
    double weight;
    /// How likely the token was expected to be, where the score is that of a most powerful test; 0
    /// where it is -ln(1 - U).
    double probability;
  };

  std::vector<keys::Block> contexts;
  /// Those of context i are pairs[begins[i]] to pairs[begins[i + 1] - 1].
  std::vector<std::size_t> begins = {0};
  std::vector<Pair> pairs;
  std::vector<Kind> kinds;

  /// The sum of all pairs' weights squared, times the variance of their scores under the null.
  double variance() const;
};

/// What the pairs are weighed by.
struct PairTables {
  /// What the suspect shows.
  PairCounts counts;
  /// What another model would have shown in its place; empty where that was never asked.
  PairCounts expected;
  /// What texts show.
  PairCounts reference;

  bool has_reference() const noexcept { return !expected.empty() || !reference.empty(); }
};

WeightedPairs weigh(const PairTables& tables, PairWeights weights);

}  // namespace countermark::distill
