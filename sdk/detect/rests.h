// From a text to the 1 - U of its tokens. docs/spec/countermark-1.md, section 7.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/token.h"
#include "detect/common_ngrams.h"
#include "keys/derivation.h"
#include "marks/countermark_1.h"

namespace countermark::detect {

/// The layers that a hypothesis scores, and the account that draws the wide one.
struct Hypothesis {
  /// By marks::Layer.
  std::array<bool, 3> scores;
  std::optional<keys::AccountKey> account;
};

/// "Ours": the narrow layer and, without accounts, the wide one too.
Hypothesis ours(const marks::Countermark1& mark);

/// One account of a profile with accounts, or "no account": the wide layer under its key.
Hypothesis of_account(const marks::Countermark1& mark, std::optional<std::uint64_t> account);

/// 1 - U of each token of the layers that are scored, NaN for the others and for `common` n-grams.
/// Throws Error(CryptoFailure).
std::vector<double> rests_of(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                             const Hypothesis& hypothesis, const CommonNgrams* common = nullptr);

/// The scores -ln(1 - U), in place.
std::vector<double> scores_from(std::vector<double> rests);

}  // namespace countermark::detect
