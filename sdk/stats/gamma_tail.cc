#include "stats/gamma_tail.h"

#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/tools/fraction.hpp>
#include <boost/math/tools/roots.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

namespace countermark::stats {
namespace {

// No exceptions and no errno: an underflow is a value here.
using Quiet = boost::math::policies::policy<
    boost::math::policies::underflow_error<boost::math::policies::ignore_error>,
    boost::math::policies::overflow_error<boost::math::policies::ignore_error>>;

/// The terms (a_k, b_k) = (k (n - k), x + 2k + 1 - n) of Legendre's continued fraction
/// Gamma(n, x) = x^n e^-x / (x + 1 - n + a_1 / (b_1 + a_2 / (b_2 + ...))), the even part of NIST
/// DLMF 8.9.2.
struct UpperGammaFraction {
  using result_type = std::pair<double, double>;
  double n;
  double x;
  double k = 0.0;

  result_type operator()() {
    k += 1.0;
    return {k * (n - k), x + 2.0 * k + 1.0 - n};
  }
};

}  // namespace

double log10_gamma_tail(double n, double x) {
  if (n <= 0.0 || x <= 0.0) return 0.0;
  const double tail = boost::math::gamma_q(n, x, Quiet());
  if (tail > 0.5) {
    // Near 1 the tail itself has lost the digits that its complement still has.
    return std::log1p(-boost::math::gamma_p(n, x, Quiet())) / std::numbers::ln10;
  }
  if (tail > 1e-290) return std::log10(tail);

  // Here x is far above n, so the fraction converges quickly.
  UpperGammaFraction terms{n, x};
  const double rest =
      boost::math::tools::continued_fraction_a(terms, std::numeric_limits<double>::epsilon());
  const double denominator = x + 1.0 - n + rest;
  return (n * std::log(x) - x - boost::math::lgamma(n, Quiet()) - std::log(denominator)) /
         std::numbers::ln10;
}

double inverse_log10_gamma_tail(double n, double log10_tail) {
  const auto excess = [&](double x) { return log10_gamma_tail(n, x) - log10_tail; };
  // The tail is at least e^-x for n >= 1, and above n it falls faster than any power.
  double high = n + 1.0;
  while (excess(high) > 0.0) high *= 2.0;
  std::uintmax_t iterations = 200;
  const auto [low, up] = boost::math::tools::toms748_solve(
      excess, 0.0, high, boost::math::tools::eps_tolerance<double>(52), iterations);
  return 0.5 * (low + up);
}

double needed_scores(double mean, double log10_tail) {
  constexpr double most = 1e7;
  const auto is_short = [&](double n) { return log10_gamma_tail(n, mean * n) > log10_tail; };
  double enough = 1.0;
  while (is_short(enough)) {
    if (enough > most) return HUGE_VAL;
    enough *= 2.0;
  }
  double least = std::floor(enough / 2.0);
  while (enough - least > 1.0) {
    const double middle = std::floor((least + enough) / 2.0);
    (is_short(middle) ? least : enough) = middle;
  }
  return enough;
}

}  // namespace countermark::stats
