#include "stats/lattice_tail.h"

#include <algorithm>
#include <boost/math/tools/roots.hpp>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>

namespace countermark::stats {
namespace {

/// The logarithm of a moment generating function, and its first two derivatives.
struct Cumulants {
  double log_mean = 0.0, mean = 0.0, variance = 0.0;
};

Cumulants tilted(const LatticeTerms& term, double theta) {
  // Scaled by the largest weight's power, which may be far beyond what a double can hold.
  const auto top = static_cast<double>(term.probabilities.size() - 1);
  double sum = 0.0, first = 0.0, second = 0.0;
  for (std::size_t k = 0; k < term.probabilities.size(); ++k) {
    const auto x = static_cast<double>(k);
    const double weight = term.probabilities[k] * std::exp(theta * (x - top));
    sum += weight;
    first += weight * x;
    second += weight * x * x;
  }
  const double mean = first / sum;
  return {std::log(sum) + theta * (top + static_cast<double>(term.lowest)),
          mean + static_cast<double>(term.lowest), std::max(0.0, second / sum - mean * mean)};
}

Cumulants tilted(std::span<const LatticeTerms> terms, double theta) {
  Cumulants total;
  for (const LatticeTerms& term : terms) {
    const Cumulants one = tilted(term, theta);
    const auto count = static_cast<double>(term.count);
    total.log_mean += count * one.log_mean;
    total.mean += count * one.mean;
    total.variance += count * one.variance;
  }
  return total;
}

/// The tilt whose mean is x, up to a limit where x is at the very end of the range.
double saddlepoint(std::span<const LatticeTerms> terms, double x) {
  constexpr double limit = 64.0;
  const auto excess = [&](double theta) { return tilted(terms, theta).mean - x; };
  if (excess(0.0) >= 0.0) return 0.0;
  double high = 1.0 / 64.0;
  while (excess(high) < 0.0) {
    if (high >= limit) return limit;
    high *= 2.0;
  }
  std::uintmax_t iterations = 100;
  return boost::math::tools::toms748_solve(
             excess, 0.0, high, boost::math::tools::eps_tolerance<double>(20), iterations)
      .first;
}

/// The characteristic function of the tilted terms, those first that make it small.
class Characteristic {
 public:
  Characteristic(std::span<const LatticeTerms> terms, double theta) {
    for (const LatticeTerms& term : terms) {
      const Cumulants cumulants = tilted(term, theta);
      Factor factor;
      factor.count = static_cast<double>(term.count);
      factor.mean = cumulants.mean;
      factor.spread = factor.count * cumulants.variance;
      for (std::size_t k = 0; k < term.probabilities.size(); ++k) {
        const double x = static_cast<double>(term.lowest) + static_cast<double>(k);
        factor.weights.push_back(term.probabilities[k] * std::exp(theta * x - cumulants.log_mean));
      }
      factor.lowest = static_cast<double>(term.lowest);
      factors_.push_back(std::move(factor));
    }
    std::sort(factors_.begin(), factors_.end(),
              [](const Factor& a, const Factor& b) { return a.spread > b.spread; });
  }

  /// Its logarithm at w, for the sum minus its mean. Gives up, with a real part below `least`, as
  /// soon as the modulus is known to be below exp(least).
  std::complex<double> log(double w, double least) const {
    std::complex<double> total = 0.0;
    const std::complex<double> step = std::polar(1.0, w);
    for (const Factor& factor : factors_) {
      std::complex<double> value = 0.0;
      for (std::size_t k = factor.weights.size(); k-- > 0;) {
        value = {value.real() * step.real() - value.imag() * step.imag() + factor.weights[k],
                 value.real() * step.imag() + value.imag() * step.real()};
      }
      // About the mean, where the argument is small for those w that matter.
      value *= std::polar(1.0, w * (factor.lowest - factor.mean));
      total += factor.count * std::log(value);
      if (total.real() < least) break;
    }
    return total;
  }

 private:
  struct Factor {
    std::vector<double> weights;
    double lowest, mean, count, spread;
  };
  std::vector<Factor> factors_;
};

}  // namespace

double log10_lattice_tail(std::span<const LatticeTerms> terms, std::int64_t x) {
  std::int64_t lowest = 0, highest = 0;
  for (const LatticeTerms& term : terms) {
    const auto count = static_cast<std::int64_t>(term.count);
    lowest += count * term.lowest;
    highest += count * (term.lowest + static_cast<std::int64_t>(term.probabilities.size()) - 1);
  }
  if (x <= lowest) return 0.0;
  if (x > highest) return -HUGE_VAL;

  const auto at = static_cast<double>(x);
  double theta = saddlepoint(terms, at);
  Cumulants cumulants = tilted(terms, theta);
  // Below the mean any tilt will do that makes the repetition die out, but for one that makes the
  // tail a difference of much larger numbers: exp(K(theta) - theta x) may not rise far.
  const double least_tilt = 2.0 / std::sqrt(std::max(1.0, cumulants.variance));
  if (theta < least_tilt) {
    constexpr double most_rise = 4.0;
    const double least_log = cumulants.log_mean - theta * at;
    double more = least_tilt;
    while (more > theta && !(tilted(terms, more).log_mean - more * at <= least_log + most_rise)) {
      more *= 0.5;
    }
    cumulants = tilted(terms, theta = std::max(theta, more));
  }

  const double deviation = std::sqrt(cumulants.variance);
  const double away = std::abs(at - cumulants.mean);
  const double wanted = std::max(2.0 * away + 12.0 * deviation, 40.0 / theta) + 64.0;
  const auto half = static_cast<std::int64_t>(wanted / 2.0);
  const auto nodes = static_cast<double>(2 * half + 1);

  const Characteristic characteristic(terms, theta);
  constexpr double negligible = -46.0;
  double sum = 1.0 / -std::expm1(-theta);
  double sizes = sum;
  for (std::int64_t k = 1; k <= half; ++k) {
    const double w = 2.0 * std::numbers::pi * static_cast<double>(k) / nodes;
    const std::complex<double> log_phi = characteristic.log(w, negligible);
    const std::complex<double> kernel = 1.0 - std::exp(std::complex<double>(-theta, -w));
    if (log_phi.real() < negligible) {
      // Counted as if it all pointed upwards.
      sum += 2.0 * std::exp(negligible) / std::abs(kernel);
      continue;
    }
    const std::complex<double> turned =
        std::exp(log_phi + std::complex<double>(0.0, w * (cumulants.mean - at)));
    sum += 2.0 * (turned / kernel).real();
    sizes += 2.0 * std::abs(turned / kernel);
  }
  // What rounding may have taken off.
  sum = std::max(sum, 0.0) + 1e-13 * sizes;
  const double log_tail = cumulants.log_mean - theta * at + std::log(sum / nodes);
  return std::min(0.0, log_tail / std::numbers::ln10);
}

}  // namespace countermark::stats
