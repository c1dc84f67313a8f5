// The null of a weighted sum of powers of uniforms: what a most powerful test adds up.
#pragma once

#include <cstddef>
#include <span>

namespace countermark::stats {

/// `count` independent variables U^(1 / P - 1) - P, of mean 0, each times `weight`. U is uniform on
/// (0, 1), and P in (0, 1).
struct PowerTerms {
  double weight = 1.0;
  double probability = 0.5;
  std::size_t count = 1;
};

/// The variance of U^(1 / P - 1).
constexpr double power_variance(double probability) noexcept {
  const double p = probability;
  return p * (1.0 - p) * (1.0 - p) / (2.0 - p);
}

/// log10 of a bound of P(sum >= x): Chernoff's, the least of exp(K(theta) - theta x) over theta >
/// 0. Never below the truth but for the quadrature of K (nine digits while |theta weight| is at
/// most 50, beyond which only evidence of thousands of digits goes), and above it by a digit or
/// two.
double log10_power_tail(std::span<const PowerTerms> terms, double x);

/// log10 of the e-value of a sum: the mean over `tilts` of exp(theta x - K(theta)), each of mean 1
/// under the null. They are fixed without a look at the scores, 0 or more; at least one.
double log10_power_e_value(std::span<const PowerTerms> terms, std::span<const double> tilts,
                           double x);

}  // namespace countermark::stats
