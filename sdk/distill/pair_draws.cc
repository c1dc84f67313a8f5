#include "distill/pair_draws.h"

#include <cmath>
#include <unordered_set>

#include "marks/countermark_1.h"
#include "prf/mix.h"

namespace countermark::distill {

PairDraws::PairDraws(const detect::KeyedMark& mark, const WeightedPairs& pairs)
    : pairs_(pairs), has_(pairs.contexts.size()) {
  if (mark.ours() != nullptr) {
    seeds_ = mark.ours()->narrow_seeds(pairs.contexts);
    for (std::size_t i = 0; i < seeds_.size(); ++i) {
      has_[i] = mark.ours()->parameters().is_narrow(seeds_[i]);
    }
    return;
  }
  const marks::EngineMark& engine = *mark.engine();
  rests_.resize(pairs.pairs.size());
  std::unordered_set<std::uint64_t> drawn;
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < has_.size(); ++i) {
    const std::size_t begin = pairs.begins[i], count = pairs.begins[i + 1] - begin;
    tokens.clear();
    for (std::size_t k = 0; k < count; ++k) tokens.push_back(pairs.pairs[begin + k].token);
    const auto context = context_tokens(pairs.contexts[i]);
    has_[i] = drawn
                  .insert(engine.rests_after(std::span(context).last(engine.width()), tokens,
                                             std::span(rests_).subspan(begin, count)))
                  .second;
  }
}

double PairDraws::score(std::size_t i, std::size_t k) const {
  const auto& [token, number] = pairs_.pairs[k];
  const double probability = pairs_.kinds[number].probability;
  const bool is_ours = !seeds_.empty();
  const std::uint64_t hash = is_ours ? marks::TokenHash{seeds_[i], {}}(token) : 0;
  if (probability == 0.0) return is_ours ? prf::score(hash) : -std::log(rests_[k]);
  const double exponential = is_ours ? prf::exponential(hash) : -std::log1p(-rests_[k]);
  return std::exp(-(1.0 / probability - 1.0) * exponential) - probability;
}

}  // namespace countermark::distill
