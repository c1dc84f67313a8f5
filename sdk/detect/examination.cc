#include "detect/examination.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "detect/likelihood.h"
#include "detect/sum.h"
#include "stats/evidence.h"
#include "stats/goodness_of_fit.h"

namespace countermark::detect {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

constexpr double sum_share_beside_likelihood = 0.1;

constexpr std::size_t goodness_least = 16;
constexpr std::size_t goodness_most = 20'000;

std::vector<double> known(std::span<const double> rests) {
  std::vector<double> some;
  std::copy_if(rests.begin(), rests.end(), std::back_inserter(some),
               [](double rest) { return !std::isnan(rest); });
  return some;
}

/// The likelihood over the starts tried: the better p-value pays for both, the mean of two e-values
/// is one.
LikelihoodEvidence weigh_starts(std::span<const double> rests, std::size_t prefix,
                                const Question& question) {
  const auto from = [&](std::size_t first) {
    first = std::min(first, rests.size());
    return weigh_likelihood(rests.subspan(first), question.probabilities.subspan(first));
  };
  if (prefix == 0 || question.start == Start::Unknown) return from(0);
  LikelihoodEvidence response = from(prefix);
  if (question.start == Start::Response) return response;
  const LikelihoodEvidence whole = from(0);
  response.log10_p = std::min(0.0, std::min(response.log10_p, whole.log10_p) + std::log10(2.0));
  const double both[] = {response.log10_e, whole.log10_e};
  response.log10_e = stats::log10_mean(both);
  return response;
}

/// NaN where the p-value, after its share is paid for, cannot be below 1/100: so it is with nearly
/// all unmarked texts, and this test takes more time than the others.
double log10_goodness_of_fit(std::vector<double> p_values) {
  constexpr double of_interest = -2.0;
  const stats::GoodnessOfFit found = stats::goodness_of_fit(p_values);
  const double least =
      stats::log10_goodness_of_fit_bound(p_values.size(), found) - std::log10(side_share);
  if (least >= of_interest) return unknown;
  return stats::log10_goodness_of_fit_tail(p_values.size(), found.statistic);
}

}  // namespace

Examination examine(const KeyedMark& mark, const Question& question, const CommonNgrams* common) {
  Examination result;
  KeyedMark::Look look = mark.look(question.tokens, question.prompt, question.start, common);
  result.rests = std::move(look.rests);
  result.engine = std::move(look.engine);
  const std::size_t prefix = mark.free_prefix();
  const SumEvidence& sum = look.sum;
  result.start = sum.start;
  result.scored = sum.scored;
  result.score = sum.score;

  const bool assumes_nothing = question.start == Start::Both;
  const bool has_probabilities = mark.selects() && !question.probabilities.empty();
  std::vector<double> p_values;
  if (assumes_nothing) p_values = known(result.rests);
  const std::size_t n = p_values.size();
  const bool fits = goodness_least <= n && n <= goodness_most;
  const bool scans = is_long_enough(n);

  const double side_shares = (fits ? side_share : 0.0) + (scans ? side_share : 0.0);
  const double main_share =
      1.0 - side_shares - (has_probabilities ? sum_share_beside_likelihood : 0.0);
  const auto add = [&](Statistic statistic, double share, double log10_p) {
    result.tests.push_back({statistic, share, log10_p});
    if (!std::isnan(log10_p)) {
      result.log10_p = std::min(result.log10_p, log10_p - std::log10(share));
    }
  };
  result.log10_e = sum.log10_e;
  if (has_probabilities) {
    const LikelihoodEvidence likelihood = weigh_starts(result.rests, prefix, question);
    result.expected_log10_e = likelihood.expected_log10_e;
    add(Statistic::Likelihood, main_share, likelihood.log10_p);
    const double weighted[] = {likelihood.log10_e + std::log10(1.0 - sum_share_beside_likelihood),
                               sum.log10_e + std::log10(sum_share_beside_likelihood)};
    result.log10_e = stats::log10_sum(weighted);
  }
  add(Statistic::Sum, has_probabilities ? sum_share_beside_likelihood : main_share, sum.log10_p);
  if (scans) {
    const double price = -std::log10(side_share);
    std::optional<double> bar = question.log10_bar;
    if (bar) *bar -= price;
    Scan scanned = scan(result.rests, bar);
    add(Statistic::Scan, side_share, scanned.log10_p);
    include_contexts(result.rests, mark.widths().front(), scanned.regions);
    for (Window& region : scanned.regions) region.log10_p = std::min(0.0, region.log10_p + price);
    result.regions = std::move(scanned.regions);
  }
  if (fits) {
    add(Statistic::GoodnessOfFit, side_share, log10_goodness_of_fit(std::move(p_values)));
  }
  if (result.start == Start::Response) {
    std::fill_n(result.rests.begin(), std::min(prefix, result.rests.size()), unknown);
  }
  return result;
}

}  // namespace countermark::detect
