#include "trace/weighing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <utility>

#include "detect/sum.h"
#include "stats/evidence.h"
#include "stats/sum.h"

namespace countermark::trace {
namespace {

constexpr std::size_t no_table = std::numeric_limits<std::size_t>::max();

double log10_e_of(std::span<const double> rests, std::span<const double> probabilities) {
  stats::Sum sum;
  for (std::size_t t = 0; t < rests.size(); ++t) {
    if (!std::isnan(probabilities[t])) {
      sum.add(detect::log_likelihood_ratio(rests[t], probabilities[t]));
    }
  }
  return sum.value() / std::numbers::ln10;
}

}  // namespace

Weighing::Weighing(const WideLayer& layer, std::span<const double> probabilities, Start start)
    : layer_(layer), start_(start) {
  if (probabilities.empty()) return;
  detect::LikelihoodTest whole(probabilities);
  detect::LikelihoodTest response(probabilities.subspan(layer.in_prefix), whole.step());
  Likelihood likelihood{
      {probabilities.begin(), probabilities.end()}, std::move(whole), std::move(response), {}, {}};
  std::map<const std::int64_t*, std::size_t> known;
  for (std::size_t t = 0; t < layer.size(); ++t) {
    const std::span<const std::int64_t> steps = likelihood.whole.steps(t);
    if (steps.empty()) {
      likelihood.table_of.push_back(no_table);
      continue;
    }
    const auto [found, is_new] = known.try_emplace(steps.data(), likelihood.tables.size());
    if (is_new) likelihood.tables.emplace_back(steps.begin(), steps.end());
    likelihood.table_of.push_back(found->second);
  }
  likelihood_ = std::move(likelihood);
}

std::vector<std::span<const std::int32_t>> Weighing::weights() const {
  std::vector<std::span<const std::int32_t>> weights;
  if (!likelihood_) return weights;
  for (const std::size_t table : likelihood_->table_of) {
    weights.emplace_back();
    if (table != no_table) weights.back() = likelihood_->tables[table];
  }
  return weights;
}

void Weighing::weigh_likelihood(std::span<const double> rests, AccountCandidate& candidate) const {
  const Likelihood& likelihood = *likelihood_;
  const std::span<const double> probabilities = likelihood.probabilities;
  const std::span<const double> response_rests = rests.subspan(layer_.in_prefix);
  const auto log10_p_of = [](const detect::LikelihoodTest& test, std::span<const double> of) {
    return test.scored() == 0 ? 0.0 : test.log10_tail(test.statistic(of));
  };
  // Without a position in the free prefix both starts are one.
  const bool has_prefix = layer_.in_prefix > 0;
  if (start_ != Start::Response || !has_prefix) {
    candidate.log10_p = log10_p_of(likelihood.whole, rests);
    candidate.log10_e = log10_e_of(rests, probabilities);
  }
  if (start_ == Start::Unknown || !has_prefix) return;
  const double log10_p = log10_p_of(likelihood.response, response_rests);
  const double log10_e = log10_e_of(response_rests, probabilities.subspan(layer_.in_prefix));
  if (start_ == Start::Response) {
    candidate.log10_p = log10_p;
    candidate.log10_e = log10_e;
    return;
  }
  // The better of two p-values is paid for; the mean of two e-values is one.
  candidate.log10_p = std::min(0.0, std::min(candidate.log10_p, log10_p) + std::log10(2.0));
  const double both[] = {candidate.log10_e, log10_e};
  candidate.log10_e = stats::log10_mean(both);
}

AccountCandidate Weighing::weigh(std::optional<std::uint64_t> account,
                                 const std::optional<keys::AccountKey>& key) const {
  const std::vector<double> rests = layer_.rests(key);
  const detect::SumEvidence sum = detect::sum_scores(rests, layer_.in_prefix, start_);
  AccountCandidate candidate{.account = account,
                             .scored = sum.scored,
                             .score = sum.score,
                             .start = sum.start,
                             .log10_p = sum.log10_p,
                             .log10_e = sum.log10_e};
  if (likelihood_) weigh_likelihood(rests, candidate);
  return candidate;
}

double Weighing::expected_log10_e() const {
  if (!likelihood_) return 0.0;
  return start_ == Start::Unknown ? likelihood_->whole.expected_log10_e()
                                  : likelihood_->response.expected_log10_e();
}

}  // namespace countermark::trace
