#include "detect/hypothesis.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/fail.h"
#include "prf/mix.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"
#include "stats/nested_tail.h"
#include "stats/sum.h"

namespace countermark::detect {
namespace {

constexpr double not_scored = std::numeric_limits<double>::quiet_NaN();

/// The scores of the layers that a hypothesis sums, one a token.
std::vector<double> score_tokens(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                                 bool narrow, bool wide,
                                 const std::optional<keys::AccountKey>& account) {
  marks::Walk walk(mark);
  walk.reserve(tokens.size());
  std::vector<double> scores;
  scores.reserve(tokens.size());
  for (const TokenId token : tokens) {
    const marks::Place& place = walk.next();
    const bool counts = (place.layer == marks::Layer::Narrow && narrow) ||
                        (place.layer == marks::Layer::Wide && wide);
    const marks::TokenHash hash{place.seed,
                                place.layer == marks::Layer::Wide ? account : std::nullopt};
    scores.push_back(counts ? prf::score(hash(token)) : not_scored);
    if (const ErrorCode code = walk.observe(token); code != ErrorCode::Ok) {
      fail(code, error_description(code));
    }
  }
  return scores;
}

/// The evidence of the scores from position `first` on.
Evidence sum_scores(std::span<const double> scores, std::size_t first) {
  Evidence evidence;
  stats::Sum sum;
  for (std::size_t i = first; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) continue;
    sum.add(scores[i]);
    ++evidence.scored;
  }
  evidence.score = sum.value();
  evidence.log10_p = stats::log10_gamma_tail(static_cast<double>(evidence.scored), evidence.score);
  evidence.log10_e = stats::log10_exponential_e_value(evidence.scored, evidence.score);
  return evidence;
}

Evidence weigh(const marks::Countermark1& mark, std::vector<double> scores, Start start) {
  const auto prefix = static_cast<std::size_t>(mark.parameters().free_prefix);
  Evidence unknown = sum_scores(scores, 0);
  if (prefix == 0 || start == Start::Unknown) {
    unknown.token_scores = std::move(scores);
    return unknown;
  }
  Evidence response = sum_scores(scores, prefix);
  response.start = Start::Response;
  if (start == Start::Both) {
    // The better of two p-values is paid for; the mean of two e-values is one.
    const double log10_p =
        stats::log10_nested_tail(response.scored, response.score, unknown.scored, unknown.score);
    const double both[] = {unknown.log10_e, response.log10_e};
    const double log10_e = stats::log10_mean(both);
    if (unknown.log10_p < response.log10_p) response = unknown;
    response.log10_p = log10_p;
    response.log10_e = log10_e;
  }
  if (response.start == Start::Response) {
    std::fill_n(scores.begin(), std::min(prefix, scores.size()), not_scored);
  }
  response.token_scores = std::move(scores);
  return response;
}

}  // namespace

Evidence test_ours(const marks::Countermark1& mark, bool accounts, std::span<const TokenId> tokens,
                   Start start) {
  return weigh(mark, score_tokens(mark, tokens, true, !accounts, std::nullopt), start);
}

Evidence test_account(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                      std::optional<std::uint64_t> account, Start start) {
  std::optional<keys::AccountKey> key;
  if (account) key = mark.account_key(*account);
  return weigh(mark, score_tokens(mark, tokens, false, true, key), start);
}

}  // namespace countermark::detect
