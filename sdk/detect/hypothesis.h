// Level 0: one hypothesis about one text, with the key alone. docs/spec/countermark-1.md,
// section 7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/detector.h"
#include "marks/countermark_1.h"

namespace countermark::detect {

/// What a text says of one hypothesis.
struct Evidence {
  /// The start that the numbers below are for: the better one of those tried.
  Start start = Start::Unknown;
  std::size_t scored = 0;
  double score = 0.0;
  /// Paid for the starts tried.
  double log10_p = 0.0;
  double log10_e = 0.0;
  /// 1 - U of each token, NaN where it is not scored.
  std::vector<double> rests;

  /// One a token, NaN where it is not scored.
  std::vector<double> token_scores() &&;
};

/// "Ours": the narrow layer and, without accounts, the wide one too.
Evidence test_ours(const marks::Countermark1& mark, bool accounts, std::span<const TokenId> tokens,
                   Start start);

/// One account of a profile with accounts, or "no account": the wide layer under its key.
Evidence test_account(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                      std::optional<std::uint64_t> account, Start start);

}  // namespace countermark::detect
