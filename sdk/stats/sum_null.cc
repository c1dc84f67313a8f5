#include "stats/sum_null.h"

#include <algorithm>
#include <array>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "stats/evidence.h"
#include "stats/gamma_tail.h"

namespace countermark::stats {
namespace {

using Quiet = boost::math::policies::policy<
    boost::math::policies::underflow_error<boost::math::policies::ignore_error>,
    boost::math::policies::overflow_error<boost::math::policies::ignore_error>>;

/// Terms below e^-negligible of the largest are left to the bound on what follows.
constexpr double negligible = 45.0;

double log_gamma(double x) { return boost::math::lgamma(x, Quiet()); }

/// ln(e^a + e^b).
double log_add(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  return low == -HUGE_VAL ? high : high + std::log1p(std::exp(low - high));
}

/// The terms of log10_pair_tail, in natural logarithms.
class PairTerms {
 public:
  PairTerms(std::size_t n, double q, double x)
      : n_(static_cast<double>(n)), log_q_(std::log(q)), log_rest_(std::log1p(-q)), x_(x) {}

  /// ln NB(k; n, q).
  double log_weight(double k) const {
    return log_gamma(n_ + k) - log_gamma(n_) - log_gamma(k + 1.0) + n_ * log_q_ + k * log_rest_;
  }
  double log_tail(double k) const {
    return log10_gamma_tail(2.0 * n_ + k, x_) * std::numbers::ln10;
  }
  double operator()(double k) const { return log_weight(k) + log_tail(k); }

  /// The sum. Both factors are log-concave in k, and so are the terms.
  double log_sum() const {
    const double mode = first([&](double k) { return (*this)(k + 1.0) <= (*this)(k); }, 0.0);
    const double largest = (*this)(mode);
    double begin = mode;
    for (double step = 1.0; begin > 0.0 && (*this)(begin) > largest - negligible; step *= 2.0) {
      begin = std::max(0.0, begin - step);
    }
    // Tails grow by Poisson probabilities: Q(m + 1, x) = Q(m, x) + e^-x x^m / m!.
    double weight = log_weight(begin), tail = log_tail(begin);
    double poisson = (2.0 * n_ + begin) * std::log(x_) - x_ - log_gamma(2.0 * n_ + begin + 1.0);
    double sum = -HUGE_VAL, term = HUGE_VAL;
    double k = begin;
    for (; k <= mode || term > largest - negligible; k += 1.0) {
      term = weight + tail;
      sum = log_add(sum, term);
      tail = std::min(0.0, log_add(tail, poisson));
      poisson += std::log(x_ / (2.0 * n_ + k + 1.0));
      weight += std::log((n_ + k) / (k + 1.0)) + log_rest_;
    }
    // What follows shrinks by at least this factor from term to term; and what comes before is less
    // than as many terms as there are of the size of the first.
    const double ratio = (weight + tail) - term;
    sum = log_add(sum, term + ratio - std::log(std::max(-std::expm1(ratio), 0x1p-52)));
    return begin > 0.0 ? log_add(sum, largest - negligible + std::log(begin)) : sum;
  }

 private:
  /// The first k from `from` on where `holds` does; it does not before, and does from there on.
  template <typename Holds>
  static double first(Holds&& holds, double from) {
    double step = 1.0;
    while (!holds(from + step)) step *= 2.0;
    double low = from - 1.0, high = from + step;
    while (high - low > 1.0) {
      const double middle = std::floor(0.5 * (low + high));
      (holds(middle) ? high : low) = middle;
    }
    return high;
  }

  double n_, log_q_, log_rest_, x_;
};

/// Of one term, twelve tilts and the logarithm of E exp(theta term) at each.
struct Tilts {
  static constexpr std::size_t count = 12;
  std::array<double, count> thetas = {}, log_means = {};

  template <typename LogMean>
  Tilts(double unit, LogMean&& log_mean) {
    for (std::size_t k = 0; k < count; ++k) {
      thetas[k] = unit * static_cast<double>(k + 1);
      log_means[k] = log_mean(thetas[k]);
    }
  }
};

struct TiltsOf {
  // As log10_exponential_e_value.
  Tilts operator()(const ExponentialNull&) const {
    return {1.0 / 16.0, [](double theta) { return -std::log1p(-theta); }};
  }
  Tilts operator()(const PairNull& null) const {
    return {1.0 / (16.0 * std::max(null.a, null.b)), [&](double theta) {
              return -std::log1p(-theta * null.a) - std::log1p(-theta * null.b);
            }};
  }
  // From a weak mark to one that is seen at once.
  Tilts operator()(const BinomialNull& null) const {
    return {0.25, [&](double theta) { return std::log1p(null.p * std::expm1(theta)); }};
  }
  Tilts operator()(const LatticeNull& null) const {
    const auto& terms = *null.terms;
    double first = 0.0, second = 0.0;
    for (std::size_t k = 0; k < terms.probabilities.size(); ++k) {
      const auto x = static_cast<double>(k);
      first += terms.probabilities[k] * x;
      second += terms.probabilities[k] * x * x;
    }
    const double deviation = std::sqrt(std::max(second - first * first, 0x1p-52));
    return {0.25 / deviation, [&](double theta) {
              double sum = 0.0;
              for (std::size_t k = 0; k < terms.probabilities.size(); ++k) {
                sum += terms.probabilities[k] * std::exp(theta * (static_cast<double>(k) - first));
              }
              return std::log(sum) + theta * (first + static_cast<double>(terms.lowest));
            }};
  }
};

struct Tail {
  std::size_t n;
  double x;

  double operator()(const ExponentialNull&) const {
    return log10_gamma_tail(static_cast<double>(n), x);
  }
  double operator()(const PairNull& null) const { return log10_pair_tail(n, null.a, null.b, x); }
  double operator()(const BinomialNull& null) const {
    return log10_binomial_tail(n, null.p, static_cast<std::size_t>(std::max(0.0, std::ceil(x))));
  }
  double operator()(const LatticeNull& null) const {
    LatticeTerms terms = *null.terms;
    terms.count = n;
    return log10_lattice_tail(std::span(&terms, 1), static_cast<std::int64_t>(std::ceil(x)));
  }
};

}  // namespace

double pair_tail(double a, double b, double x) {
  const double low = std::min(a, b), high = std::max(a, b);
  const double first = std::exp(-x / high);
  if (low == 0.0) return first;
  // (high e^(-x / high) - low e^(-x / low)) / (high - low), without a difference of near equals.
  const double gap = high - low;
  const double more = gap > 0.0 ? low * -std::expm1(-x * gap / (low * high)) / gap : x / high;
  return first * (1.0 + more);
}

double log10_pair_tail(std::size_t n, double a, double b, double x) {
  if (n == 0 || x <= 0.0) return 0.0;
  const double high = std::max(a, b);
  double low = std::min(a, b);
  if (low == 0.0) return log10_gamma_tail(static_cast<double>(n), x / high);
  if (low == high) return log10_gamma_tail(2.0 * static_cast<double>(n), x / high);
  // With ever smaller scales ever more terms count. A larger one makes the tail larger, by next to
  // nothing here.
  low = std::max(low, 1e-3 * high);
  return std::min(0.0, PairTerms(n, low / high, x / low).log_sum() / std::numbers::ln10);
}

double log10_binomial_tail(std::size_t n, double p, std::size_t k) {
  if (k == 0) return 0.0;
  if (k > n) return -HUGE_VAL;
  const auto all = static_cast<double>(n), some = static_cast<double>(k);
  // P(X >= k) = I_p(k, n - k + 1).
  const double tail = boost::math::ibeta(some, all - some + 1.0, p, Quiet());
  if (tail > 0.5) {
    return std::log1p(-boost::math::ibetac(some, all - some + 1.0, p, Quiet())) /
           std::numbers::ln10;
  }
  if (tail > 1e-290) return std::log10(tail);
  // So far out the terms shrink from the first on.
  const double first = log_gamma(all + 1.0) - log_gamma(some + 1.0) - log_gamma(all - some + 1.0) +
                       some * std::log(p) + (all - some) * std::log1p(-p);
  double sum = 1.0, term = 1.0;
  for (double i = some; i < all && term > 0x1p-60 * sum; i += 1.0) {
    term *= (all - i) / (i + 1.0) * p / (1.0 - p);
    sum += term;
  }
  return (first + std::log(sum)) / std::numbers::ln10;
}

double log10_e_value(const SumNull& null, std::size_t n, double x) {
  const Tilts tilts = std::visit(TiltsOf{}, null);
  std::array<double, Tilts::count> terms = {};
  for (std::size_t k = 0; k < terms.size(); ++k) {
    terms[k] =
        (tilts.thetas[k] * x - static_cast<double>(n) * tilts.log_means[k]) / std::numbers::ln10;
  }
  return log10_mean(terms);
}

double log10_tail(const SumNull& null, std::size_t n, double x) {
  if (n == 0) return 0.0;
  return std::visit(Tail{n, x}, null);
}

}  // namespace countermark::stats
