// The null of a sum of scores that are whole numbers of steps, each with a null of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace countermark::stats {

/// Independent variables of one distribution: P(lowest + k) = probabilities[k].
struct LatticeTerms {
  std::vector<double> probabilities;
  std::int64_t lowest = 0;
  /// How many of them are summed.
  std::size_t count = 0;
};

/// log10 of P(sum >= x) of all terms: never below the truth but for the rounding of doubles (about
/// nine digits), and above it by as little unless the sum has wide gaps. Any x; never underflows.
///
/// The distribution is tilted by theta > 0 so that x is its mean, and the tail is the integral of
/// its characteristic function over one period,
///
///     P = exp(K(theta) - theta x) / (2 pi)
///         integral of phi(w) exp(-i w x) / (1 - exp(-theta - i w)) dw
///
/// The trapezoidal rule with M nodes gives the sum over k of the tilted P(sum = k) times
/// exp(-theta (k - x)) repeated with period M: every alias is positive, so the rule errs upwards
/// only, and by nothing that matters where M is many standard deviations.
double log10_lattice_tail(std::span<const LatticeTerms> terms, std::int64_t x);

}  // namespace countermark::stats
