#include "stats/power_tail.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

using countermark::stats::log10_power_e_value;
using countermark::stats::log10_power_tail;
using countermark::stats::PowerTerms;

TEST_CASE("power e-value: closed forms where the power is 1 or 1/3") {
  // U - 1/2, three of them, twice each; U^(1/3) - 3/4, two of them.
  const PowerTerms terms[] = {{2.0, 0.5, 3}, {-1.0, 0.75, 2}};
  const double theta = 0.7, x = 1.3;
  const double half = 2.0 * theta;
  const double first = std::exp(-0.5 * half) * std::expm1(half) / half;
  // E exp(-s U^(1/3)) = integral of 3 v^2 exp(-s v).
  const double s = theta;
  const double third =
      std::exp(0.75 * s) * 3.0 * (2.0 - std::exp(-s) * (s * s + 2.0 * s + 2.0)) / (s * s * s);
  const double expected =
      (theta * x - 3.0 * std::log(first) - 2.0 * std::log(third)) / std::numbers::ln10;
  const double tilts[] = {theta};
  CHECK(log10_power_e_value(terms, tilts, x) == doctest::Approx(expected).epsilon(1e-10));
  const double several[] = {theta, 0.0};
  CHECK(log10_power_e_value(terms, several, x) ==
        doctest::Approx(std::log10(0.5 * (std::pow(10.0, expected) + 1.0))));
}

TEST_CASE("power tail: bounds the share of sums that are as large, and not by much") {
  // Rare tokens and common ones, weights of both signs.
  const std::vector<PowerTerms> terms = {
      {1.0, 0.5, 4}, {3.0, 0x1p-6, 30}, {-2.0, 0.8, 3}, {8.0, 0x1p-12, 40}};
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  constexpr int trials = 100'000;
  std::vector<double> sums(trials);
  for (double& sum : sums) {
    for (const PowerTerms& term : terms) {
      for (std::size_t i = 0; i < term.count; ++i) {
        const double power = std::pow(uniform(random), 1.0 / term.probability - 1.0);
        sum += term.weight * (power - term.probability);
      }
    }
  }
  for (const double x : {0.5, 2.0, 5.0, 8.0, 12.0}) {
    CAPTURE(x);
    int as_large = 0;
    for (const double sum : sums) as_large += sum >= x;
    const double share = static_cast<double>(as_large) / trials;
    const double bound = std::pow(10.0, log10_power_tail(terms, x));
    CHECK(bound > share);
    CHECK(bound < 12.0 * share + 1e-3);
  }
}

TEST_CASE("power tail: the largest sum there can be, and sums that say nothing") {
  const PowerTerms terms[] = {{2.0, 0.25, 2}};
  CHECK(log10_power_tail(terms, 0.0) == 0.0);
  CHECK(log10_power_tail(terms, -1.0) == 0.0);
  CHECK(log10_power_tail({}, 1.0) == 0.0);
  const PowerTerms none[] = {{2.0, 0.25, 0}};
  CHECK(log10_power_tail(none, 1.0) == 0.0);
  // At most 3: there the bound goes on falling, as far as it is followed.
  CHECK(log10_power_tail(terms, 2.999) < -5.0);
  CHECK(log10_power_tail(terms, 4.0) < -100.0);
  CHECK(std::isfinite(log10_power_tail(terms, 4.0)));
  // Hundreds of digits.
  const PowerTerms many[] = {{1.0, 0.5, 100'000}};
  CHECK(log10_power_tail(many, 15'000.0) < -1000.0);
}
