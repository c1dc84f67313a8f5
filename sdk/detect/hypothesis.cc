#include "detect/hypothesis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/kernels.h"
#include "marks/text_walk.h"
#include "prf/mix.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"
#include "stats/log_product.h"
#include "stats/nested_tail.h"

namespace countermark::detect {
namespace {

constexpr double not_scored = std::numeric_limits<double>::quiet_NaN();

/// The layers that a hypothesis sums, and the account that draws the wide one.
struct Hypothesis {
  /// By marks::Layer.
  std::array<bool, 3> sums;
  std::optional<keys::AccountKey> account;
};

/// 1 - U of each token of the layers that are summed, NaN for the others.
std::vector<double> rests_of(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                             const Hypothesis& hypothesis) {
  constexpr std::size_t piece_size = marks::TextWalk::piece_size;
  // The scored tokens of a piece, side by side for the kernel.
  std::array<TokenId, piece_size> scored;
  std::array<std::uint64_t, piece_size> k1, k2, hashes = {};
  // "Ours" takes both layers without an account, an account the wide one alone: the key is the same
  // for all.
  const kernels::HashKeys account = marks::TokenHash{{}, hypothesis.account}.keys();
  std::vector<double> rests(tokens.size());
  std::size_t begin = 0;
  marks::TextWalk walk(mark, tokens);
  for (auto places = walk.next(); !places.empty(); places = walk.next()) {
    // Layers alternate at random: nothing here branches on them.
    std::size_t count = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      scored[count] = tokens[begin + i];
      k1[count] = places[i].seed.k1;
      k2[count] = places[i].seed.k2;
      count += hypothesis.sums[static_cast<std::size_t>(places[i].layer)];
    }
    kernels::active().hash(scored.data(), k1.data(), k2.data(), account, count, hashes.data());
    std::size_t next = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const bool is_summed = hypothesis.sums[static_cast<std::size_t>(places[i].layer)];
      const double both[] = {not_scored, prf::one_minus_uniform(hashes[next])};
      rests[begin + i] = both[is_summed];
      next += is_summed;
    }
    begin += places.size();
  }
  return rests;
}

/// The evidence of the tokens from position `first` on.
Evidence sum_scores(std::span<const double> rests, std::size_t first) {
  Evidence evidence;
  stats::LogProduct product;
  for (std::size_t i = first; i < rests.size(); ++i) {
    if (!std::isnan(rests[i])) product.multiply(rests[i]);
  }
  evidence.scored = product.factors();
  evidence.score = product.minus_log();
  evidence.log10_p = stats::log10_gamma_tail(static_cast<double>(evidence.scored), evidence.score);
  evidence.log10_e = stats::log10_exponential_e_value(evidence.scored, evidence.score);
  return evidence;
}

Evidence weigh(const marks::Countermark1& mark, std::vector<double> rests, Start start) {
  const auto prefix = static_cast<std::size_t>(mark.parameters().free_prefix);
  Evidence unknown = sum_scores(rests, 0);
  if (prefix == 0 || start == Start::Unknown) {
    unknown.rests = std::move(rests);
    return unknown;
  }
  Evidence response = sum_scores(rests, prefix);
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
    std::fill_n(rests.begin(), std::min(prefix, rests.size()), not_scored);
  }
  response.rests = std::move(rests);
  return response;
}

}  // namespace

std::vector<double> Evidence::token_scores() && {
  for (double& rest : rests) rest = -std::log(rest);
  return std::move(rests);
}

Evidence test_ours(const marks::Countermark1& mark, bool accounts, std::span<const TokenId> tokens,
                   Start start) {
  return weigh(mark, rests_of(mark, tokens, {{false, true, !accounts}, std::nullopt}), start);
}

Evidence test_account(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                      std::optional<std::uint64_t> account, Start start) {
  std::optional<keys::AccountKey> key;
  if (account) key = mark.account_key(*account);
  return weigh(mark, rests_of(mark, tokens, {{false, false, true}, key}), start);
}

}  // namespace countermark::detect
