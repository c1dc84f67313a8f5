// Level 0: the sum of the scores, with the key alone. docs/spec/countermark-1.md, section 7.
#pragma once

#include <cstddef>
#include <span>

#include "countermark/detector.h"

namespace countermark::detect {

/// What the sum of a text's scores says of one hypothesis.
struct SumEvidence {
  /// The start that the numbers below are for: the better one of those tried.
  Start start = Start::Unknown;
  std::size_t scored = 0;
  double score = 0.0;
  /// Paid for the starts tried.
  double log10_p = 0.0;
  double log10_e = 0.0;
};

/// `rests` holds 1 - U of each token, NaN where it is not scored; a response begins with
/// `free_prefix` tokens that carry no mark.
SumEvidence sum_scores(std::span<const double> rests, std::size_t free_prefix, Start start);

}  // namespace countermark::detect
