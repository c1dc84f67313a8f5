#include "stats/nested_tail.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "stats/gamma_tail.h"

using countermark::stats::log10_gamma_tail;
using countermark::stats::log10_nested_tail;

TEST_CASE("log10_nested_tail: one term within two has a closed form") {
  // P(S1 >= a or S1 + S2 >= b) = e^-a + a e^-b, where e^-a = (1 + b) e^-b is the smaller tail.
  for (const double b : {0.5, 3.0, 20.0, 300.0, 5000.0}) {
    CAPTURE(b);
    const double a = b - std::log1p(b);
    const double expected = (-b + std::log1p(b) + std::log1p(a / (1.0 + b))) / std::numbers::ln10;
    // Whichever of the two sums is the one that stands out.
    CHECK(log10_nested_tail(1, 0.1 * a, 2, b) == doctest::Approx(expected).epsilon(1e-10));
    CHECK(log10_nested_tail(1, a, 2, a + 1e-6) == doctest::Approx(expected).epsilon(1e-10));
  }
}

TEST_CASE("log10_nested_tail: one test alone costs nothing") {
  CHECK(log10_nested_tail(0, 0.0, 7, 20.0) == log10_gamma_tail(7, 20.0));
  CHECK(log10_nested_tail(7, 20.0, 7, 20.0) == log10_gamma_tail(7, 20.0));
  CHECK(log10_nested_tail(0, 0.0, 0, 0.0) == 0.0);
}

TEST_CASE("log10_nested_tail: two tests cost more than one and at most two") {
  for (const double whole : {100.0, 200.0, 260.0, 400.0, 4000.0}) {
    for (const double prefix : {2.0, 24.0, 60.0}) {
      CAPTURE(whole);
      CAPTURE(prefix);
      const double best =
          std::min(log10_gamma_tail(176, whole - prefix), log10_gamma_tail(198, whole));
      const double paid = log10_nested_tail(176, whole - prefix, 198, whole);
      CHECK(paid >= best);
      CHECK(paid <= std::min(0.0, best + std::log10(2.0)));
    }
  }
}

TEST_CASE("log10_nested_tail: is uniform under the null") {
  std::mt19937_64 random(2026);
  std::gamma_distribution<double> prefix(22.0), rest(176.0);
  constexpr int draws = 40'000;
  int below[3] = {};
  constexpr double rates[3] = {0.5, 0.1, 0.01};
  for (int i = 0; i < draws; ++i) {
    const double part = rest(random);
    const double p = log10_nested_tail(176, part, 198, part + prefix(random));
    for (int r = 0; r < 3; ++r) below[r] += p <= std::log10(rates[r]);
  }
  for (int r = 0; r < 3; ++r) {
    // Five standard deviations: a false alarm in two million runs.
    CAPTURE(rates[r]);
    const double expected = draws * rates[r];
    CHECK(std::abs(below[r] - expected) < 5.0 * std::sqrt(expected * (1.0 - rates[r])));
  }
}
