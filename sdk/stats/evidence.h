// E-values of exponential scores, and the correction for many tests.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace countermark::stats {

/// log10 of the mixture e-value of n independent Exponential(1) scores with sum s:
/// mean over theta in {1/16, 2/16, ..., 12/16} of (1 - theta)^n exp(theta s). Each term is the
/// likelihood ratio of Exponential(1 - theta), so its mean under the null is 1. 0 for n = 0.
double log10_exponential_e_value(std::size_t n, double s);

/// log10 of the sum, and of the mean, of values given as log10.
double log10_sum(std::span<const double> log10_values);
double log10_mean(std::span<const double> log10_values);

/// Holm's step-down adjustment of p-values given as log10: valid under any dependence.
std::vector<double> log10_holm(std::span<const double> log10_p);

/// e-BH: how many of the hypotheses with these e-values, largest first, are discoveries at a false
/// discovery rate, out of `tested`: valid under any dependence. The others' e-values are smaller.
std::size_t e_bh_discoveries(std::span<const double> log10_e, std::size_t tested, double rate);

}  // namespace countermark::stats
