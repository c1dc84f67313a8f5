#include "distill/weighted_pairs.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "stats/power_tail.h"

namespace countermark::distill {
namespace {

// Fixed on students of one key (tools/distillation), and measured on those of others since.
/// What a pair that the reference never had is given, as so many tokens spread over all.
constexpr double smoothing = 8.0;
/// How much is taken off the weight of pairs that are expected often: their counts vary more than
/// chance makes them, since a model is not its reference.
constexpr double damping = 0.02;
/// The most that a pair weighs, either way: it has only one score to show.
constexpr double most_weight = 30.0;

double rounded(double weight, int bits) {
  int exponent = 0;
  const double fraction = std::frexp(weight, &exponent);
  return std::ldexp(std::round(std::ldexp(fraction, bits)), exponent - bits);
}

/// Of weights, and where there are probabilities too.
constexpr int weight_bits = 7, few_bits = 4;

/// To half a power of two, below 1.
double rounded_probability(double probability) {
  constexpr double least = 0x1p-30, most = 0.96;
  const double clamped = std::clamp(probability, least, most);
  return std::min(most, std::exp2(0.5 * std::round(2.0 * std::log2(clamped))));
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

/// Collects pairs; those of one kind get one number.
class Collector {
 public:
  explicit Collector(WeightedPairs& to) : to_(to) {}

  void add(TokenId token, double weight, double probability = 0.0) {
    weight = rounded(weight, probability > 0.0 ? few_bits : weight_bits);
    if (weight == 0.0) return;
    const auto [found, is_new] = numbers_.try_emplace(std::pair(weight, probability),
                                                      static_cast<std::uint32_t>(to_.kinds.size()));
    if (is_new) to_.kinds.push_back({weight, probability});
    to_.pairs.push_back({token, found->second});
  }
  void end(const keys::Block& context) {
    if (to_.pairs.size() == to_.begins.back()) return;
    to_.contexts.push_back(context);
    to_.begins.push_back(to_.pairs.size());
  }

 private:
  WeightedPairs& to_;
  std::map<std::pair<double, double>, std::uint32_t> numbers_;
};

/// `visit(token, count, expected)` for each token that either has.
template <typename Visit>
void each_of_either(std::span<const PairCounts::Token> seen,
                    std::span<const PairCounts::Token> expected, Visit&& visit) {
  auto s = seen.begin();
  auto e = expected.begin();
  while (s != seen.end() || e != expected.end()) {
    if (e == expected.end() || (s != seen.end() && s->token < e->token)) {
      visit(s->token, s->count, 0.0);
      ++s;
    } else if (s == seen.end() || e->token < s->token) {
      visit(e->token, 0.0, e->count);
      ++e;
    } else {
      visit(s->token, s->count, e->count);
      ++s;
      ++e;
    }
  }
}

class Weigher {
 public:
  Weigher(const PairTables& tables, PairWeights weights, WeightedPairs& result)
      : tables_(tables), weights_(weights), frequencies_(tables.reference), collector_(result) {}

  void weigh(std::size_t row) {
    const keys::Block& context = tables_.counts.contexts()[row];
    const std::span<const PairCounts::Token> seen = tables_.counts.tokens(row);
    switch (weights_) {
      case PairWeights::Equal:
        for (const PairCounts::Token& t : seen) collector_.add(t.token, 1.0);
        break;
      case PairWeights::Log:
        for (const PairCounts::Token& t : seen) collector_.add(t.token, std::log1p(t.count));
        break;
      case PairWeights::Reference:
      case PairWeights::MostPowerful:
        weigh_against_reference(context, seen, tables_.counts.places(row));
        break;
    }
    collector_.end(context);
  }

 private:
  void weigh_against_reference(const keys::Block& context, std::span<const PairCounts::Token> seen,
                               double places) {
    if (!tables_.expected.empty()) {
      each_of_either(seen, tables_.expected.after(context),
                     [&](TokenId token, double count, double expected) {
                       add(token, count, expected, places);
                     });
      return;
    }
    const double m = tables_.reference.places_after(context);
    each_of_either(seen, tables_.reference.after(context),
                   [&](TokenId token, double count, double in_reference) {
                     const double probability =
                         (in_reference + smoothing * frequencies_.of(token)) / (m + smoothing);
                     add(token, count, places * probability, places);
                   });
  }

  void add(TokenId token, double count, double expected, double places) {
    const double weight =
        std::clamp((count - expected) / (1.0 + damping * expected), -most_weight, most_weight);
    if (weights_ == PairWeights::Reference) {
      collector_.add(token, weight);
    } else {
      // What it shows itself is a guess where the other model would never have said it.
      const double probability = std::max(expected, 0.5 * count) / places;
      collector_.add(token, weight, rounded_probability(probability));
    }
  }

  const PairTables& tables_;
  PairWeights weights_;
  Frequencies frequencies_;
  Collector collector_;
};

}  // namespace

double WeightedPairs::variance() const {
  double sum = 0.0;
  for (const Pair& pair : pairs) {
    const Kind& kind = kinds[pair.kind];
    const double of_score = kind.probability > 0.0 ? stats::power_variance(kind.probability) : 1.0;
    sum += kind.weight * kind.weight * of_score;
  }
  return sum;
}

WeightedPairs weigh(const PairTables& tables, PairWeights weights) {
  WeightedPairs result;
  Weigher weigher(tables, weights, result);
  for (std::size_t row = 0; row < tables.counts.contexts().size(); ++row) weigher.weigh(row);
  return result;
}

}  // namespace countermark::distill
