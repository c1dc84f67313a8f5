// Harmonic numbers of real order.
#pragma once

namespace countermark::stats {

/// H(x) = digamma(x + 1) + Euler's constant, for x >= 0 (NIST DLMF 5.4.14 extended to reals). The
/// mean score of a token that Gumbel-max selected with probability p is H(1/p): given that it won,
/// U has the distribution of V^p with V uniform, and -ln(1 - V^p) has that mean.
double harmonic(double x);

}  // namespace countermark::stats
