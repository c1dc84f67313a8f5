// The exact null of a sum of exponential scores.
#pragma once

namespace countermark::stats {

/// log10 of P(Gamma(n, 1) >= x), the regularised upper incomplete gamma function Q(n, x), for
/// n >= 1 and x >= 0; 0 for n = 0. Never underflows. The relative error is below 1e-12 for n up to
/// 10^5, and below 1e-10 for n up to 10^7.
double log10_gamma_tail(double n, double x);

/// The x >= 0 where log10_gamma_tail(n, x) is `log10_tail`, which is 0 or less; n >= 1.
double inverse_log10_gamma_tail(double n, double log10_tail);

/// The least n, 1 or more, for which a sum of n scores that are `mean` on average, more than 1, has
/// a tail of 10^log10_tail or less as likely as not; infinite where that is above 10^7.
double needed_scores(double mean, double log10_tail);

}  // namespace countermark::stats
