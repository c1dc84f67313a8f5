// The null of a weighted sum of exponential scores.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace countermark::stats {

/// `count` independent Exponential(1) variables, each times `weight`, which may be negative.
struct WeightedTerms {
  double weight = 1.0;
  std::size_t count = 1;
};

/// log10 of P(sum >= x) of all terms: never below the truth but for the rounding of doubles (about
/// nine digits). Any finite x and weights; never underflows, and is -infinity only where no weight
/// is positive and x is.
///
/// The distribution is tilted by theta in (0, 1 / largest weight), so that x is its mean, and the
/// tail is
///
///     P = exp(K(theta) - theta x) / pi  integral from 0 of Re(phi(t) exp(-i t x) / (theta + i t)),
///
/// phi being the tilted characteristic function, the product of (1 - i t w / (1 - theta w))^-count.
/// The trapezoidal rule of step 2 pi / L adds exp(theta m L) P(sum >= x + m L) for every whole m
/// but 0 (Poisson's summation): it errs upwards only, and by nothing that matters where L is
/// many standard deviations. What lies beyond the last node is bounded, and added.
double log10_weighted_tail(std::span<const WeightedTerms> terms, double x);

/// How far the score of a term is tilted by theta (0 or more): in proportion to its weight, but
/// never so far that its e-value hangs on luck.
constexpr double term_tilt(double theta, double weight) noexcept {
  constexpr double most = 0.5;
  return std::min(theta * weight, most);
}

/// log10 of the e-value of scores that add up to `sums[i]`, without their weight, over the terms i:
/// the mean over the tilts of the product of exp(t y) (1 - t) over all scores y, t being the
/// term_tilt, each of mean 1 under the null. Tilts are fixed without a look at the scores; at least
/// one.
double log10_weighted_e_value(std::span<const WeightedTerms> terms, std::span<const double> sums,
                              std::span<const double> tilts);

}  // namespace countermark::stats
