#include "stats/weighted_tail.h"

#include <algorithm>
#include <boost/math/tools/roots.hpp>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>
#include <vector>

#include "stats/evidence.h"
#include "stats/sum.h"

namespace countermark::stats {
namespace {

/// The logarithm of the moment generating function, and its first two derivatives.
struct Cumulants {
  double log_mean = 0.0, mean = 0.0, variance = 0.0;
};

Cumulants tilted(std::span<const WeightedTerms> terms, double theta) {
  Cumulants total;
  for (const auto& [weight, count] : terms) {
    const auto n = static_cast<double>(count);
    const double scale = weight / (1.0 - theta * weight);
    total.log_mean -= n * std::log1p(-theta * weight);
    total.mean += n * scale;
    total.variance += n * scale * scale;
  }
  return total;
}

/// The tilt whose mean is x, 0 where x is below the mean without one. `limit` is where the mean
/// would be infinite.
double saddlepoint(std::span<const WeightedTerms> terms, double x, double limit) {
  const auto excess = [&](double theta) { return tilted(terms, theta).mean - x; };
  if (excess(0.0) >= 0.0) return 0.0;
  // By the distance to the limit, which may be far below what theta itself resolves.
  double distance = 0.5;
  while (excess(limit * (1.0 - distance)) < 0.0 && distance > 1e-12) distance *= 0.5;
  std::uintmax_t iterations = 100;
  return boost::math::tools::toms748_solve(excess, 0.0, limit * (1.0 - distance),
                                           boost::math::tools::eps_tolerance<double>(30),
                                           iterations)
      .first;
}

}  // namespace

double log10_weighted_tail(std::span<const WeightedTerms> all, double x) {
  std::vector<WeightedTerms> terms;
  std::copy_if(all.begin(), all.end(), std::back_inserter(terms),
               [](const WeightedTerms& t) { return t.weight != 0.0 && t.count > 0; });
  double largest = 0.0, lowest = 0.0;
  for (const WeightedTerms& term : terms) {
    largest = std::max(largest, term.weight);
    lowest = std::min(lowest, term.weight);
  }
  if (largest <= 0.0 && x > 0.0) return -HUGE_VAL;
  if (lowest >= 0.0 && x <= 0.0) return 0.0;
  // Without a positive weight any tilt will do; with one, up to where its mean is infinite.
  const double limit = largest > 0.0 ? 1.0 / largest : -4.0 / lowest;
  double theta = saddlepoint(terms, x, limit);
  // Below the mean a tilt that makes the repetition die out, but for one that makes the tail a
  // difference of much larger numbers: exp(K(theta) - theta x) may not rise far.
  const double least_tilt = std::min(0.5 * limit, 2.0 / std::sqrt(tilted(terms, 0.0).variance));
  if (theta < least_tilt) {
    constexpr double most_rise = 4.0;
    const auto log_bound = [&](double t) { return tilted(terms, t).log_mean - t * x; };
    const double least_log = log_bound(theta);
    double more = least_tilt;
    while (more > theta && !(log_bound(more) <= least_log + most_rise)) more *= 0.5;
    theta = std::max(theta, more);
  }
  const Cumulants cumulants = tilted(terms, theta);
  const double log_bound = cumulants.log_mean - theta * x;

  constexpr double negligible = 35.0;
  const double deviation = std::sqrt(cumulants.variance);
  double period = std::max((negligible + std::max(0.0, -log_bound)) / theta,
                           2.0 * std::abs(x - cumulants.mean) + 12.0 * deviation);
  if (largest > 0.0) period = std::max(period, negligible / (limit - theta));
  const double step = 2.0 * std::numbers::pi / period;

  double sum = 0.5 / theta, sizes = sum;
  constexpr std::size_t most_nodes = std::size_t{1} << 20;
  for (std::size_t k = 1;; ++k) {
    const double t = step * static_cast<double>(k);
    double log_size = 0.0, angle = -t * x, decay = 0.0;
    for (const auto& [weight, count] : terms) {
      const auto n = static_cast<double>(count);
      const double scaled = t * weight / (1.0 - theta * weight);
      const double square = scaled * scaled;
      log_size -= 0.5 * n * std::log1p(square);
      angle += n * std::atan(scaled);
      decay += n * square / (1.0 + square);
    }
    const std::complex<double> term =
        std::polar(std::exp(log_size), angle) / std::complex<double>(theta, t);
    sum += term.real();
    sizes += std::abs(term);
    // From here on the size falls at least as t^-decay.
    const double rest = std::exp(log_size) / (step * decay);
    if (rest < 1e-14 * sizes || k == most_nodes) {
      sum += rest;
      break;
    }
  }
  // What rounding may have taken off.
  sum = std::max(sum, 0.0) + 1e-13 * sizes;
  const double log_tail = log_bound + std::log(sum * step / std::numbers::pi);
  return std::min(0.0, log_tail / std::numbers::ln10);
}

double log10_weighted_e_value(std::span<const WeightedTerms> terms, std::span<const double> sums,
                              std::span<const double> tilts) {
  std::vector<double> log10_values;
  for (const double theta : tilts) {
    Sum log_product;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const double tilt = term_tilt(theta, terms[i].weight);
      log_product.add(tilt * sums[i] + static_cast<double>(terms[i].count) * std::log1p(-tilt));
    }
    log10_values.push_back(log_product.value() / std::numbers::ln10);
  }
  return log10_mean(log10_values);
}

}  // namespace countermark::stats
