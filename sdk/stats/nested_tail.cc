#include "stats/nested_tail.h"

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <numbers>
#include <vector>

#include "stats/gamma_tail.h"

namespace countermark::stats {
namespace {

double log10_poisson(double count, double mean) {
  return (count * std::log(mean) - mean - boost::math::lgamma(count + 1.0)) / std::numbers::ln10;
}

}  // namespace

double log10_nested_tail(std::size_t part_n, double part, std::size_t whole_n, double whole) {
  const auto n = static_cast<double>(whole_n);
  const auto k = static_cast<double>(part_n);
  const double of_whole = log10_gamma_tail(n, whole);
  // One test alone: there is nothing to pay for.
  if (part_n == 0 || part_n == whole_n) return of_whole;
  const double of_part = log10_gamma_tail(k, part);
  const double least = std::min(of_whole, of_part);
  if (least >= 0.0) return 0.0;

  const double b = of_whole == least ? whole : inverse_log10_gamma_tail(n, least);
  const double a = of_part == least ? part : inverse_log10_gamma_tail(k, least);
  std::vector<double> terms = {least};
  for (std::size_t i = part_n; i < whole_n; ++i) {
    const auto j = static_cast<double>(i);
    terms.push_back(log10_poisson(j, a) + log10_gamma_tail(n - j, b - a));
  }
  const double largest = *std::max_element(terms.begin(), terms.end());
  double sum = 0.0;
  for (const double term : terms) sum += std::pow(10.0, term - largest);
  return std::clamp(largest + std::log10(sum), least, std::min(0.0, least + std::log10(2.0)));
}

}  // namespace countermark::stats
