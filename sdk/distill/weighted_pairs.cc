#include "distill/weighted_pairs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

namespace countermark::distill {
namespace {

/// What a pair that the reference never had is given, as so many tokens spread over all.
constexpr double smoothing = 4.0;
/// How much is taken off the weight of pairs that are expected often: their counts vary more than
/// chance makes them, since a model is not its reference.
constexpr double damping = 0.25;

double rounded(double weight) {
  int exponent = 0;
  const double fraction = std::frexp(weight, &exponent);
  return std::ldexp(std::round(fraction * 256.0), exponent - 8);
}

/// How likely each token is by the reference, whatever came before.
class Frequencies {
 public:
  explicit Frequencies(const PairCounts& reference) {
    for (std::size_t i = 0; i < reference.contexts().size(); ++i) {
      for (const PairCounts::Token& t : reference.tokens(i)) {
        counts_[t.token] += t.count;
        all_ += t.count;
      }
    }
  }
  double of(TokenId token) const {
    constexpr double unseen = 0.5;
    const auto found = counts_.find(token);
    const double count = found == counts_.end() ? 0.0 : found->second;
    return (count + unseen) / (all_ + unseen * static_cast<double>(counts_.size() + 1));
  }

 private:
  std::unordered_map<TokenId, double> counts_;
  double all_ = 0.0;
};

double count_of(std::span<const PairCounts::Token> tokens, TokenId token) {
  for (const PairCounts::Token& t : tokens) {
    if (t.token == token) return t.count;
  }
  return 0.0;
}

double sum_of(std::span<const PairCounts::Token> tokens) {
  double sum = 0.0;
  for (const PairCounts::Token& t : tokens) sum += t.count;
  return sum;
}

/// Collects pairs; equal weights get one number.
class Collector {
 public:
  explicit Collector(WeightedPairs& to) : to_(to) { to_.begins.push_back(0); }

  void add(TokenId token, double weight) {
    weight = rounded(weight);
    if (weight == 0.0) return;
    const auto [found, is_new] =
        numbers_.try_emplace(weight, static_cast<std::uint32_t>(to_.weights.size()));
    if (is_new) to_.weights.push_back(weight);
    to_.pairs.push_back({token, found->second});
  }
  void end(const keys::Block& context) {
    if (to_.pairs.size() == to_.begins.back()) return;
    to_.contexts.push_back(context);
    to_.begins.push_back(to_.pairs.size());
  }

 private:
  WeightedPairs& to_;
  std::map<double, std::uint32_t> numbers_;
};

void weigh_against(const PairCounts& reference, const Frequencies& frequencies,
                   const keys::Block& context, std::span<const PairCounts::Token> seen,
                   Collector& collector) {
  const auto expected = reference.after(context);
  const double n = sum_of(seen), m = sum_of(expected);
  const auto add = [&](TokenId token, double count) {
    const double probability =
        (count_of(expected, token) + smoothing * frequencies.of(token)) / (m + smoothing);
    collector.add(token, (count - n * probability) / (1.0 + damping * n * probability));
  };
  for (const PairCounts::Token& t : seen) add(t.token, t.count);
  for (const PairCounts::Token& t : expected) {
    if (count_of(seen, t.token) == 0.0) add(t.token, 0.0);
  }
}

}  // namespace

double WeightedPairs::squares() const {
  double sum = 0.0;
  for (const Pair& pair : pairs) sum += weights[pair.weight] * weights[pair.weight];
  return sum;
}

WeightedPairs weigh(const PairCounts& counts, const PairCounts& reference, PairWeights weights) {
  WeightedPairs result;
  Collector collector(result);
  const Frequencies frequencies(reference);
  for (std::size_t i = 0; i < counts.contexts().size(); ++i) {
    const keys::Block& context = counts.contexts()[i];
    const std::span<const PairCounts::Token> seen = counts.tokens(i);
    switch (weights) {
      case PairWeights::Equal:
        for (const PairCounts::Token& t : seen) collector.add(t.token, 1.0);
        break;
      case PairWeights::Log:
        for (const PairCounts::Token& t : seen) collector.add(t.token, std::log1p(t.count));
        break;
      case PairWeights::Reference:
        weigh_against(reference, frequencies, context, seen, collector);
        break;
    }
    collector.end(context);
  }
  return result;
}

}  // namespace countermark::distill
