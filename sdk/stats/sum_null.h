// The nulls of sums that marks are detected by.
#pragma once

#include <cstddef>
#include <memory>
#include <variant>

#include "stats/lattice_tail.h"

namespace countermark::stats {

/// A sum of n standard exponentials.
struct ExponentialNull {};

/// A sum of n pairs a X + b Y of independent standard exponentials; a, b >= 0, not both 0.
struct PairNull {
  double a = 1.0, b = 0.0;
};

/// How many of n are 1, each with probability p.
struct BinomialNull {
  double p = 0.5;
};

/// A sum of n whole numbers of one distribution (whose count does not matter).
struct LatticeNull {
  std::shared_ptr<const LatticeTerms> terms;
};

/// The distribution of a sum of n independent terms.
using SumNull = std::variant<ExponentialNull, PairNull, BinomialNull, LatticeNull>;

/// log10 P(sum >= x); exact but for rounding, upwards where it is not. Never underflows.
double log10_tail(const SumNull& null, std::size_t n, double x);

/// log10 of the e-value of a sum: the mean of exp(theta x) / E exp(theta sum) over twelve tilts
/// theta that were fixed beforehand, each of mean 1 under the null.
double log10_e_value(const SumNull& null, std::size_t n, double x);

/// P(a X + b Y >= x) of one pair.
double pair_tail(double a, double b, double x);

/// log10 P(a G + b H >= x), G and H independent Gamma(n, 1) variables. With q = min(a, b) /
/// max(a, b), the one of the larger scale is a mixture of variables of the smaller scale and of the
/// shapes n + k, k negative binomial (Moschopoulos, Ann. Inst. Statist. Math. 37 (1985) 541-544),
/// so that the tail is the sum of positive terms NB(k; n, q) Q(2n + k, x / min(a, b)).
/// Where q is in (0, 0.001) it is the tail at 0.001, an upper bound.
double log10_pair_tail(std::size_t n, double a, double b, double x);

/// log10 P(X >= k), X binomial(n, p), p in (0, 1).
double log10_binomial_tail(std::size_t n, double p, std::size_t k);

}  // namespace countermark::stats
