#include "stats/evidence.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "stats/sum.h"

using namespace countermark;
using stats::log10_exponential_e_value;
using stats::log10_holm;
using stats::log10_mean;
using stats::log10_sum;

TEST_CASE("e-value: equals exact values, and 1 where nothing was scored") {
  CHECK(log10_exponential_e_value(0, 0.0) == doctest::Approx(0.0).epsilon(1e-15));
  constexpr struct {
    std::size_t n;
    double s, log10_e;
  } cases[] = {{1, 0, -0.22639637736707701453},    {1, 1, -0.075016543285776140723},
               {10, 25.5, 2.2759868537247121341},  {200, 600, 77.169631478213569645},
               {200, 100, -3.9703566584253493568}, {100000, 250000, 25260.560388908935611}};
  for (const auto& c : cases) {
    CAPTURE(c.n);
    CHECK(log10_exponential_e_value(c.n, c.s) == doctest::Approx(c.log10_e).epsilon(1e-12));
  }
}

TEST_CASE("e-value: its mean under the null is 1") {
  // By the trapezoidal rule after x = e^y, which is exact to many digits for integrands that die
  // away on both sides: the mean of e(n, S) over S ~ Gamma(n, 1).
  for (const std::size_t n : {1, 2, 20}) {
    CAPTURE(n);
    const auto shape = static_cast<double>(n);
    constexpr double step = 1.0 / 256;
    stats::Sum mean;
    for (double y = -40.0; y <= 8.0; y += step) {
      const double s = std::exp(y);
      const double log_density = shape * y - s - std::lgamma(shape);
      const double log_e = log10_exponential_e_value(n, s) * std::log(10.0);
      mean.add(step * std::exp(log_density + log_e));
    }
    CHECK(mean.value() == doctest::Approx(1.0).epsilon(1e-9));
  }
}

TEST_CASE("log10_mean: is the mean, also of values that no double holds") {
  CHECK(log10_mean(std::vector{0.0}) == 0.0);
  CHECK(log10_mean(std::vector{-7.5, -7.5, -7.5}) == doctest::Approx(-7.5));
  CHECK(log10_mean(std::vector{0.0, 1.0}) == doctest::Approx(std::log10(5.5)));
  CHECK(log10_mean(std::vector{25000.0, -1e9}) == doctest::Approx(25000.0 - std::log10(2.0)));
  CHECK(log10_mean(std::vector{-4000.0, -4001.0, -1e300}) ==
        doctest::Approx(-4000.0 + std::log10(1.1 / 3.0)));
}

TEST_CASE("log10_sum: is the sum, also of values that no double holds") {
  CHECK(log10_sum(std::vector{-3.25}) == -3.25);
  CHECK(log10_sum(std::vector{0.0, 1.0, -1.0}) == doctest::Approx(std::log10(11.1)));
  CHECK(log10_sum(std::vector{25000.0, 25000.0, -1e9}) ==
        doctest::Approx(25000.0 + std::log10(2.0)).epsilon(1e-15));
  CHECK(log10_sum(std::vector{-4000.0, -4001.0}) ==
        doctest::Approx(-4000.0 + std::log10(1.1)).epsilon(1e-15));
  CHECK(log10_sum(std::vector{-HUGE_VAL, 2.0}) == 2.0);
}

TEST_CASE("log10_holm: equals the step-down adjustment by hand") {
  // Of 0.01, 0.04, 0.03 and 0.005: 0.005 * 4, then 0.01 * 3, 0.03 * 2, and 0.04 no less than that.
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005};
  const std::vector<double> expected = {0.03, 0.06, 0.06, 0.02};
  std::vector<double> log10_p;
  for (const double value : p) log10_p.push_back(std::log10(value));
  const std::vector<double> adjusted = log10_holm(log10_p);
  REQUIRE(adjusted.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(adjusted[i] == doctest::Approx(std::log10(expected[i])).epsilon(1e-12));
  }
}

TEST_CASE("log10_holm: one test is not adjusted, none exceeds 1, ties stay ties") {
  CHECK(log10_holm({}).empty());
  CHECK(log10_holm(std::vector{-3.25}) == std::vector{-3.25});
  CHECK(log10_holm(std::vector{-0.1, -0.2, 0.0}) == std::vector{0.0, 0.0, 0.0});
  const auto ties = log10_holm(std::vector{-5.0, -5.0});
  CHECK(ties[0] == ties[1]);
  CHECK(ties[0] == doctest::Approx(-5.0 + std::log10(2.0)));
  CHECK(log10_holm(std::vector{-40000.0, 0.0})[0] == doctest::Approx(-40000.0 + std::log10(2.0)));
}

TEST_CASE("Sum: keeps what a plain sum loses") {
  stats::Sum sum;
  for (const double x : {1.0, 1e100, 1.0, -1e100}) sum.add(x);
  CHECK(sum.value() == 2.0);
  stats::Sum tenths;
  for (int i = 0; i < 10'000'000; ++i) tenths.add(0.1);
  CHECK(tenths.value() == doctest::Approx(1e6).epsilon(1e-15));
}

TEST_CASE("e_bh_discoveries: as many as are all large enough for how many they are") {
  // 100 tested at 0.1: the i-th must reach 1000 / i.
  const double two[] = {3.0, 2.7, 2.5}, third[] = {2.9, 2.8, 2.53}, none[] = {2.9, 2.6};
  CHECK(stats::e_bh_discoveries(two, 100, 0.1) == 2);
  CHECK(stats::e_bh_discoveries(third, 100, 0.1) == 3);
  CHECK(stats::e_bh_discoveries(none, 100, 0.1) == 0);
  CHECK(stats::e_bh_discoveries({}, 100, 0.1) == 0);
}
