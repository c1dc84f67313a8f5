#include "countermark/plan.h"

#include <cmath>

#include "base/fail.h"
#include "detect/correction.h"
#include "stats/gamma_tail.h"

namespace countermark {
namespace {

constexpr double all_units = 65536.0;

/// Tokens of a response of which a share is scored by a layer, and which needs so many scores.
std::optional<std::size_t> tokens_for(double scores, double share, std::size_t free_prefix) {
  const double tokens = std::ceil(scores / share);
  if (!(tokens < 1e9)) return std::nullopt;
  return free_prefix + static_cast<std::size_t>(tokens);
}

}  // namespace

std::vector<AccountPlan> plan_accounts(std::span<const std::int64_t> narrow_units,
                                       const AccountPlanOptions& options) {
  if (options.accounts < 1) {
    fail(ErrorCode::InvalidOption, "accounts must be 1 or more, got ", options.accounts);
  }
  if (options.free_prefix > 65536) {
    fail(ErrorCode::InvalidOption, "free_prefix must be in 0..65536, got ", options.free_prefix);
  }
  if (!(options.marked_score > 1.0 && options.marked_score < HUGE_VAL)) {
    fail(ErrorCode::InvalidOption, "marked_score must be above 1 and finite, got ",
         options.marked_score, " (1 is what unmarked tokens score)");
  }
  const double search = std::log10(static_cast<double>(options.accounts) + 1.0);
  const double ours = detect::log10_threshold("false_positive_rate", options.false_positive_rate);
  const double account =
      detect::log10_threshold("false_accusation_rate", options.false_accusation_rate) - search;
  const auto needed = [&](double log10_p) {
    return stats::needed_scores(options.marked_score, log10_p);
  };
  std::vector<AccountPlan> plans;
  for (const std::int64_t units : narrow_units) {
    if (units < 0 || units > 65536) {
      fail(ErrorCode::InvalidOption, "narrow_units must be in 0..65536, got ", units);
    }
    const double narrow = static_cast<double>(units) / all_units;
    plans.push_back(
        {.narrow_units = units,
         .tokens_for_ours = tokens_for(needed(ours), narrow, options.free_prefix),
         .tokens_for_account = tokens_for(needed(account), 1.0 - narrow, options.free_prefix),
         .tokens_for_combined = tokens_for(needed(ours - search), 1.0, options.free_prefix)});
  }
  return plans;
}

}  // namespace countermark
