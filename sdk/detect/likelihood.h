// Level 1: what a text says of a key to someone who also knows how likely each of its tokens was to
// a language model, any one. docs/detection.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "stats/lattice_tail.h"

namespace countermark::detect {

/// The likelihood ratio of one token, marked to unmarked: if a token of probability p was selected,
/// its U has the density u^(1/p - 1) / p, and 1 if the text is independent of the key. This is the
/// mean of that density over guesses of the true p: p^1, p^(3/4), p^(1/2), p^(1/4) and 1
/// with the weights 0.4, 0.2, 0.2, 0.1 and 0.1, since a proxy is not the model that was sampled
/// and some tokens were replaced. Each is a density, so the mean ratio is 1 for every
/// p that does not depend on the key, and it is never below 0.1.
///
/// `rest` is 1 - U, in [2^-53, 1); p in (0, 1].
double log_likelihood_ratio(double rest, double p);

/// The sum of the ratios' logarithms as a statistic with a known null: in whole steps, with p and U
/// in cells, whatever the cells cost in power.
class LikelihoodTest {
 public:
  /// p of each token; a NaN leaves it out. `step` is the width of a step, by default one that suits
  /// the text.
  explicit LikelihoodTest(std::span<const double> probabilities, std::optional<double> step = {});

  /// Tokens that are not left out.
  std::size_t scored() const noexcept { return scored_; }

  /// The sum in steps; `rests` holds 1 - U of each token, of those left out anything.
  std::int64_t statistic(std::span<const double> rests) const;

  /// What token `i` adds to it, by the cell of its U; nothing where it is left out. Tokens with
  /// probabilities in one cell share one table.
  std::span<const std::int64_t> steps(std::size_t i) const noexcept;
  double step() const noexcept { return step_; }

  /// log10 of the probability of so large a sum under the null (stats::log10_lattice_tail).
  double log10_tail(std::int64_t statistic) const;

  /// log10 of the product of the ratios on average, if every token had been selected with its p.
  double expected_log10_e() const;

 private:
  /// Tokens whose p is in one cell.
  struct Group {
    double p;
    /// For each cell of U: the ratio's logarithm, and that in whole steps.
    std::vector<double> log_ratios;
    std::vector<std::int64_t> steps;
    std::size_t count;
  };

  static constexpr std::size_t left_out = SIZE_MAX;

  std::size_t scored_ = 0;
  double step_;
  std::vector<Group> groups_;
  /// The groups' nulls.
  std::vector<stats::LatticeTerms> terms_;
  /// Of each token.
  std::vector<std::size_t> group_of_;
};

struct LikelihoodEvidence {
  /// Tokens that are scored and of known probability.
  std::size_t scored = 0;
  double log10_p = 0.0;
  /// Of the exact ratios.
  double log10_e = 0.0;
  double expected_log10_e = 0.0;
};

/// `rests` holds 1 - U of each token and `probabilities` p; a NaN in either leaves the token out.
LikelihoodEvidence weigh_likelihood(std::span<const double> rests,
                                    std::span<const double> probabilities);

}  // namespace countermark::detect
