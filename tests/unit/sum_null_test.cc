#include "stats/sum_null.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/quadrature/gauss_kronrod.hpp>
#include <cmath>
#include <memory>
#include <vector>

#include "stats/gamma_tail.h"

using namespace countermark;
using namespace countermark::stats;

namespace {

/// P(a G + b H >= x) by an integral over G.
double pair_tail_by_integral(std::size_t n, double a, double b, double x) {
  const auto shape = static_cast<double>(n);
  const auto integrand = [&](double g) {
    const double log_density = (shape - 1.0) * std::log(g) - g - std::lgamma(shape);
    return std::exp(log_density + std::log(10.0) * log10_gamma_tail(shape, (x - a * g) / b));
  };
  // Beyond x / a the rest is certain.
  const double inside = boost::math::quadrature::gauss_kronrod<double, 61>::integrate(
      integrand, 0.0, x / a, 15, 1e-13);
  return inside + std::pow(10.0, log10_gamma_tail(shape, x / a));
}

LatticeNull two_dice_steps() {
  auto terms = std::make_shared<LatticeTerms>();
  terms->lowest = 1;
  terms->probabilities = {0.25, 0.5, 0.25};
  return {terms};
}

}  // namespace

TEST_CASE("log10_pair_tail: one pair in closed form, near equal scales too") {
  for (const double a : {0.9, 0.5000001, 0.5, 1.0, 0.0}) {
    const double b = 1.0 - a;
    for (const double x : {1e-3, 0.5, 3.0, 40.0}) {
      CAPTURE(a);
      CAPTURE(x);
      const double expected = a == 0.5 ? std::exp(-2.0 * x) * (1.0 + 2.0 * x)
                              : a == 0.0 || a == 1.0
                                  ? std::exp(-x)
                                  : (a * std::exp(-x / a) - b * std::exp(-x / b)) / (a - b);
      CHECK(pair_tail(a, b, x) == doctest::Approx(expected).epsilon(1e-6));
      CHECK(log10_pair_tail(1, a, b, x) ==
            doctest::Approx(std::log10(pair_tail(a, b, x))).epsilon(1e-10));
    }
  }
}

TEST_CASE("log10_pair_tail: many pairs against an integral") {
  for (const std::size_t n : {2, 13, 100}) {
    for (const double a : {0.9, 0.75, 0.6}) {
      for (const double times : {0.5, 1.0, 1.3, 2.5}) {
        CAPTURE(n);
        CAPTURE(a);
        CAPTURE(times);
        const double x = times * static_cast<double>(n);
        CHECK(log10_pair_tail(n, a, 1.0 - a, x) ==
              doctest::Approx(std::log10(pair_tail_by_integral(n, a, 1.0 - a, x))).epsilon(1e-8));
        CHECK(log10_pair_tail(n, a, 1.0 - a, x) == log10_pair_tail(n, 1.0 - a, a, x));
      }
    }
  }
}

TEST_CASE(
    "log10_pair_tail: the far tail falls as its larger scale's, and not as a matched Gamma's") {
  // e^-(x / a) times a power of x: the slope between two points far out.
  const double a = 0.9;
  const double slope =
      (log10_pair_tail(100, a, 0.1, 4000.0) - log10_pair_tail(100, a, 0.1, 3000.0)) *
      std::log(10.0) / 1000.0;
  CHECK(slope == doctest::Approx(-1.0 / a).epsilon(0.04));
  CHECK(log10_pair_tail(100'000, a, 0.1, 3e5) < -10'000.0);
  CHECK(log10_pair_tail(100'000, a, 0.1, 1e5) == doctest::Approx(std::log10(0.5)).epsilon(0.01));
}

TEST_CASE("log10_pair_tail: ever smaller scales come to the tail of the larger one, from above") {
  for (const double b : {1e-2, 1e-4, 1e-9, 1e-15, 1e-300}) {
    for (const double x : {80.0, 100.0, 150.0, 400.0}) {
      CAPTURE(b);
      CAPTURE(x);
      const double alone = log10_gamma_tail(100.0, x), pair = log10_pair_tail(100, 1.0, b, x);
      CHECK(pair >= alone);
      // A sum of 100 of them shifts by 100 b, and by no more than it would at 0.001.
      CHECK(pair <= log10_gamma_tail(100.0, x - 100.0 * std::max(b, 1e-3) * 1.5));
    }
  }
  CHECK(log10_pair_tail(1000, 1e-15, 1.0, 1000.0) > -1.0);
}

TEST_CASE("log10_pair_tail: nothing seen, and nothing to see") {
  CHECK(log10_pair_tail(0, 0.9, 0.1, 1.0) == 0.0);
  CHECK(log10_pair_tail(5, 0.9, 0.1, 0.0) == 0.0);
  CHECK(log10_tail(PairNull{0.9, 0.1}, 0, 3.0) == 0.0);
}

TEST_CASE("log10_binomial_tail: against Boost, and beyond what a double holds") {
  for (const double p : {0.25, 0.5, 0.9}) {
    for (const unsigned n : {1U, 20U, 400U}) {
      for (unsigned k = 0; k <= n; k += std::max(1U, n / 10)) {
        const boost::math::binomial distribution(n, p);
        const double expected =
            k == 0 ? 1.0 : boost::math::cdf(boost::math::complement(distribution, k - 1));
        CAPTURE(p);
        CAPTURE(n);
        CAPTURE(k);
        if (expected < 1e-280) continue;
        CHECK(log10_binomial_tail(n, p, k) == doctest::Approx(std::log10(expected)).epsilon(1e-11));
      }
    }
  }
  // All green: p^n.
  CHECK(log10_binomial_tail(1000, 0.25, 1000) ==
        doctest::Approx(1000.0 * std::log10(0.25)).epsilon(1e-12));
  // One less: p^n (1 + n (1 - p) / p).
  CHECK(log10_binomial_tail(1000, 0.25, 999) ==
        doctest::Approx(1000.0 * std::log10(0.25) + std::log10(3001.0)).epsilon(1e-12));
  CHECK(log10_binomial_tail(10, 0.25, 11) == -HUGE_VAL);
}

TEST_CASE("log10_tail: a lattice by counting") {
  // Two steps of 1 to 3 each: 16 equally likely outcomes of two pairs of coins.
  const LatticeNull null = two_dice_steps();
  for (const auto& [x, outcomes] :
       {std::pair(6.0, 1.0), std::pair(5.0, 5.0), std::pair(4.0, 11.0), std::pair(3.0, 15.0)}) {
    CHECK(log10_tail(null, 2, x) == doctest::Approx(std::log10(outcomes / 16.0)).epsilon(1e-8));
  }
}

TEST_CASE("log10_e_value: its mean is 1 under every null") {
  // Exactly, where the sum takes few values.
  const auto mean_of = [](const SumNull& null, const std::vector<double>& probabilities,
                          std::size_t n) {
    double mean = 0.0;
    for (std::size_t x = 0; x < probabilities.size(); ++x) {
      mean += probabilities[x] * std::pow(10.0, log10_e_value(null, n, static_cast<double>(x)));
    }
    return mean;
  };
  std::vector<double> binomial;
  for (unsigned k = 0; k <= 30; ++k) {
    binomial.push_back(boost::math::pdf(boost::math::binomial(30, 0.25), k));
  }
  CHECK(mean_of(BinomialNull{0.25}, binomial, 30) == doctest::Approx(1.0).epsilon(1e-10));
  CHECK(mean_of(two_dice_steps(), {0.0, 0.25, 0.5, 0.25}, 1) ==
        doctest::Approx(1.0).epsilon(1e-10));
  // By an integral for the pair, whose density is the difference of two exponentials.
  const double a = 0.9, b = 0.1;
  const double mean = boost::math::quadrature::gauss_kronrod<double, 61>::integrate(
      [&](double x) {
        return (std::exp(-x / a) - std::exp(-x / b)) / (a - b) *
               std::pow(10.0, log10_e_value(PairNull{a, b}, 1, x));
      },
      0.0, 400.0, 15, 1e-12);
  CHECK(mean == doctest::Approx(1.0).epsilon(1e-8));
}
