#include "detect/likelihood.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <numbers>
#include <vector>

#include "prf/uniform_cells.h"
#include "stats/lattice_tail.h"
#include "stats/sum.h"

namespace countermark::detect {
namespace {

struct Guess {
  double exponent, weight;
};
constexpr std::array<Guess, 4> guesses = {{{1.0, 0.4}, {0.75, 0.2}, {0.5, 0.2}, {0.25, 0.1}}};
constexpr double flat_weight = 0.1;

/// The ratio from ln U.
double ratio_at(double log_u, double p) {
  double ratio = flat_weight;
  for (const auto& [exponent, weight] : guesses) {
    const double guess = std::pow(p, exponent);
    ratio += weight * std::exp((1.0 / guess - 1.0) * log_u) / guess;
  }
  return ratio;
}

double log_uniform(double rest) { return std::log1p(-rest); }

/// The cells of U (prf/uniform_cells.h). Edges lie between the values that U can take, and a cell's
/// probability is the number of those in it.
class Cells {
 public:
  struct Cell {
    /// Its edges, of 1 - U where U is above one half and of U elsewhere.
    double lower, upper;
    bool is_high;
    /// Under the null.
    double probability;
    /// ln U in the middle.
    double log_u;
  };

  static const std::vector<Cell>& all() {
    static const std::vector<Cell> cells = make();
    return cells;
  }

 private:
  static std::vector<Cell> make() {
    // U and 1 - U are (n + 1/2) 2^-52.
    const auto values_below = [](double x) { return std::ceil(x * 0x1p52 - 0.5); };
    std::vector<Cell> cells(prf::uniform_cells);
    for (std::size_t k = 0; k < prf::uniform_side; ++k) {
      const std::size_t key = prf::uniform_key(prf::least_uniform) + k;
      const double lower = prf::uniform_of_key(key), upper = prf::uniform_of_key(key + 1);
      const double probability = (values_below(upper) - values_below(lower)) * 0x1p-52;
      const double middle = std::sqrt(lower * upper);
      cells[k] = {lower, upper, true, probability, log_uniform(middle)};
      cells[prf::uniform_cells - 1 - k] = {lower, upper, false, probability, std::log(middle)};
    }
    return cells;
  }
};

/// Probabilities in cells: an eighth of an octave of the odds, from 2^-40 to 2^40.
class Odds {
 public:
  static int cell(double p) {
    const double octaves = std::log2(p) - std::log2(std::max(1.0 - p, 0x1p-53));
    return static_cast<int>(std::lround(8.0 * std::clamp(octaves, -40.0, 40.0)));
  }
  static double probability(int cell) { return 1.0 / (1.0 + std::exp2(-cell / 8.0)); }
};

/// The logarithm of the ratio, for each cell of U.
std::vector<double> log_ratios_of(double p) {
  std::vector<double> log_ratios;
  for (const Cells::Cell& cell : Cells::all()) {
    log_ratios.push_back(std::log(ratio_at(cell.log_u, p)));
  }
  return log_ratios;
}

stats::LatticeTerms null_of(std::span<const std::int64_t> steps, std::size_t count) {
  const auto [low, high] = std::minmax_element(steps.begin(), steps.end());
  stats::LatticeTerms terms;
  terms.lowest = *low;
  terms.count = count;
  terms.probabilities.resize(static_cast<std::size_t>(*high - *low) + 1);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    terms.probabilities[static_cast<std::size_t>(steps[i] - *low)] += Cells::all()[i].probability;
  }
  return terms;
}

/// The variance of ln(ratio) under the null.
double null_variance(std::span<const double> log_ratios) {
  double first = 0.0, second = 0.0;
  for (std::size_t i = 0; i < log_ratios.size(); ++i) {
    const double probability = Cells::all()[i].probability;
    first += probability * log_ratios[i];
    second += probability * log_ratios[i] * log_ratios[i];
  }
  return std::max(0.0, second - first * first);
}

/// The mean of ln(ratio) for a token that was selected with probability p: U has the distribution
/// of V^p then, V uniform.
double expected_log_ratio(std::span<const double> log_ratios, double p) {
  double sum = 0.0;
  for (std::size_t i = 0; i < log_ratios.size(); ++i) {
    const Cells::Cell& cell = Cells::all()[i];
    // P(U < u) = u^(1/p), by way of ln u; near U = 1 the difference of two numbers close to 1.
    const auto log_below = [&](double x) {
      return (cell.is_high ? std::log1p(-x) : std::log(x)) / p;
    };
    const double a = log_below(cell.lower), b = log_below(cell.upper);
    const double mass = std::exp(std::max(a, b)) * -std::expm1(-std::abs(a - b));
    sum += mass * log_ratios[i];
  }
  return sum;
}

double step_for(double variance, double count) {
  // A step is a small part of what a token's ratio varies by, and of what the sum does; but not so
  // small that near-certain tokens, which vary by next to nothing, fill the lattice with steps.
  const double finest = std::min(1.0 / 8.0, std::sqrt(std::max(400.0, count)) / 640.0);
  return std::exp2(std::floor(
      std::log2(std::clamp(std::sqrt(variance / count) * finest, 1.0 / 1024.0, 1.0 / 4.0))));
}

}  // namespace

double log_likelihood_ratio(double rest, double p) {
  return std::log(ratio_at(log_uniform(rest), p));
}

LikelihoodTest::LikelihoodTest(std::span<const double> probabilities, std::optional<double> step) {
  // A cell's number to its group.
  std::map<int, std::size_t> groups;
  for (const double p : probabilities) {
    if (std::isnan(p)) {
      group_of_.push_back(left_out);
      continue;
    }
    const int odds = Odds::cell(p);
    const auto [found, is_new] = groups.try_emplace(odds, groups_.size());
    if (is_new) {
      const double middle = Odds::probability(odds);
      groups_.push_back({middle, log_ratios_of(middle), {}, 0});
    }
    ++groups_[found->second].count;
    group_of_.push_back(found->second);
    ++scored_;
  }
  double variance = 0.0;
  for (const Group& group : groups_) {
    variance += static_cast<double>(group.count) * null_variance(group.log_ratios);
  }
  step_ = step ? *step : step_for(variance, std::max(1.0, static_cast<double>(scored_)));
  for (Group& group : groups_) {
    for (const double log_ratio : group.log_ratios) {
      group.steps.push_back(std::lround(log_ratio / step_));
    }
    terms_.push_back(null_of(group.steps, group.count));
  }
}

std::int64_t LikelihoodTest::statistic(std::span<const double> rests) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < group_of_.size(); ++i) {
    if (group_of_[i] != left_out) sum += groups_[group_of_[i]].steps[prf::uniform_cell(rests[i])];
  }
  return sum;
}

std::span<const std::int64_t> LikelihoodTest::steps(std::size_t i) const noexcept {
  if (group_of_[i] == left_out) return {};
  return groups_[group_of_[i]].steps;
}

double LikelihoodTest::log10_tail(std::int64_t statistic) const {
  return stats::log10_lattice_tail(terms_, statistic);
}

double LikelihoodTest::expected_log10_e() const {
  double sum = 0.0;
  for (const Group& group : groups_) {
    sum += static_cast<double>(group.count) * expected_log_ratio(group.log_ratios, group.p);
  }
  return sum / std::numbers::ln10;
}

LikelihoodEvidence weigh_likelihood(std::span<const double> rests,
                                    std::span<const double> probabilities) {
  std::vector<double> known(probabilities.begin(), probabilities.end());
  stats::Sum exact;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (std::isnan(rests[i])) known[i] = rests[i];
    if (!std::isnan(known[i])) exact.add(log_likelihood_ratio(rests[i], known[i]));
  }
  const LikelihoodTest test(known);
  LikelihoodEvidence evidence;
  evidence.scored = test.scored();
  if (evidence.scored == 0) return evidence;
  evidence.log10_p = test.log10_tail(test.statistic(rests));
  evidence.log10_e = exact.value() / std::numbers::ln10;
  evidence.expected_log10_e = test.expected_log10_e();
  return evidence;
}

}  // namespace countermark::detect
