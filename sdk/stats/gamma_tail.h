// The exact null of a sum of exponential scores.
#pragma once

namespace countermark::stats {

/// log10 of P(Gamma(n, 1) >= x), the regularised upper incomplete gamma function Q(n, x), for
/// n >= 1 and x >= 0: exact to a relative 1e-12 or so of its own value where it is small, and never
/// underflowing. 0 for n = 0.
double log10_gamma_tail(double n, double x);

}  // namespace countermark::stats
