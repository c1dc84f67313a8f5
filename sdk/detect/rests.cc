#include "detect/rests.h"

#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "marks/text_walk.h"
#include "prf/mix.h"

namespace countermark::detect {
namespace {

constexpr double not_scored = std::numeric_limits<double>::quiet_NaN();

void leave_out(const CommonNgrams& common, const marks::Countermark1Parameters& parameters,
               std::span<const TokenId> tokens, std::span<const marks::Place> places,
               std::size_t begin, std::span<double> rests) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (std::isnan(rests[begin + i])) continue;
    const auto width = static_cast<std::size_t>(
        places[i].layer == marks::Layer::Narrow ? parameters.narrow_width : parameters.wide_width);
    if (common.contains(tokens.subspan(begin + i - width, width + 1))) {
      rests[begin + i] = not_scored;
    }
  }
}

}  // namespace

Hypothesis ours(const marks::Countermark1& mark) {
  return {{false, true, !mark.parameters().accounts}, std::nullopt};
}

Hypothesis of_account(const marks::Countermark1& mark, std::optional<std::uint64_t> account) {
  std::optional<keys::AccountKey> key;
  if (account) key = mark.account_key(*account);
  return {{false, false, true}, key};
}

std::vector<double> rests_of(const marks::Countermark1& mark, std::span<const TokenId> tokens,
                             const Hypothesis& hypothesis, const CommonNgrams* common) {
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
      count += hypothesis.scores[static_cast<std::size_t>(places[i].layer)];
    }
    kernels::active().hash(scored.data(), k1.data(), k2.data(), account, count, hashes.data());
    std::size_t next = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const bool is_scored = hypothesis.scores[static_cast<std::size_t>(places[i].layer)];
      const double both[] = {not_scored, prf::one_minus_uniform(hashes[next])};
      rests[begin + i] = both[is_scored];
      next += is_scored;
    }
    if (common != nullptr) leave_out(*common, mark.parameters(), tokens, places, begin, rests);
    begin += places.size();
  }
  return rests;
}

std::vector<double> scores_from(std::vector<double> rests) {
  for (double& rest : rests) rest = -std::log(rest);
  return rests;
}

}  // namespace countermark::detect
