// How much text the layers need, before a profile is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/export.h"

namespace countermark {

struct AccountPlanOptions {
  /// How many accounts will be searched, 1 or more.
  std::size_t accounts = 1'000'000;
  double false_accusation_rate = 1e-3;
  double false_positive_rate = 1e-6;
  /// The mean score of a marked token, above 1: 1.5 is typical of a moderate temperature, and
  /// ProfileResult's score / scored over one's own marked texts measures it.
  double marked_score = 1.5;
  /// Tokens at the start of a response that are drawn freely.
  std::size_t free_prefix = 24;
};

/// What one share of the narrow layer buys.
struct AccountPlan {
  std::int64_t narrow_units = 0;
  /// Tokens of one response that show as likely as not that it is ours, and whose it is. No number
  /// where a layer has no share.
  std::optional<std::size_t> tokens_for_ours, tokens_for_account;
  /// The same for both layers together under the best account (Trace::log10_p_combined).
  std::optional<std::size_t> tokens_for_combined;
};

/// The plan for each of `narrow_units`, 0 to 65536. Throws Error(InvalidOption).
COUNTERMARK_API std::vector<AccountPlan> plan_accounts(std::span<const std::int64_t> narrow_units,
                                                       const AccountPlanOptions& options = {});

}  // namespace countermark
