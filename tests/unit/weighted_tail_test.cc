#include "stats/weighted_tail.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "stats/evidence.h"
#include "stats/gamma_tail.h"

using countermark::stats::log10_gamma_tail;
using countermark::stats::log10_weighted_e_value;
using countermark::stats::log10_weighted_tail;
using countermark::stats::WeightedTerms;

namespace {

/// By how much `log10_p` is above 10^expected, as a part of it.
double excess(double log10_p, double expected) {
  return std::expm1((log10_p - expected) * std::numbers::ln10);
}

/// P(sum >= x) of terms with distinct weights, one of each, in partial fractions.
long double closed_form(const std::vector<WeightedTerms>& terms, double x) {
  long double tail = 0.0L;
  for (const WeightedTerms& i : terms) {
    if ((i.weight > 0.0) != (x >= 0.0)) continue;
    long double term = std::exp(-x / static_cast<long double>(i.weight));
    for (const WeightedTerms& j : terms) {
      if (&i != &j) term *= i.weight / (static_cast<long double>(i.weight) - j.weight);
    }
    tail += term;
  }
  return x >= 0.0 ? tail : 1.0L - tail;
}

}  // namespace

TEST_CASE("weighted tail: equal weights are a Gamma") {
  for (const std::size_t n : {2, 5, 20, 300, 100'000}) {
    for (const double factor : {0.7, 1.0, 1.1, 2.0, 5.0}) {
      CAPTURE(n);
      CAPTURE(factor);
      const double mean = static_cast<double>(n);
      const double expected = log10_gamma_tail(mean, factor * mean);
      if (expected < -5000.0) continue;  // where a tenth digit of the logarithm is lost
      const WeightedTerms terms[] = {{0.3, n}};
      const double found = log10_weighted_tail(terms, 0.3 * factor * mean);
      // Upwards, and by little.
      CHECK(excess(found, expected) > -1e-9);
      CHECK(excess(found, expected) < 1e-9);
    }
  }
}

TEST_CASE("weighted tail: one term is an exponential, from above") {
  for (const double x : {0.1, 1.0, 5.0, 50.0}) {
    const WeightedTerms terms[] = {{2.0, 1}};
    const double expected = -x / 2.0 / std::numbers::ln10;
    CHECK(excess(log10_weighted_tail(terms, x), expected) > 0.0);
    CHECK(excess(log10_weighted_tail(terms, x), expected) < 1e-3);
  }
}

TEST_CASE("weighted tail: distinct weights of both signs, as partial fractions say") {
  const std::vector<WeightedTerms> terms = {{1.0, 1}, {0.5, 1}, {0.2, 1}, {-0.7, 1}, {-0.1, 1}};
  for (const double x : {-6.0, -3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 10.0, 50.0, 500.0}) {
    CAPTURE(x);
    const double expected = static_cast<double>(std::log10(closed_form(terms, x)));
    CHECK(excess(log10_weighted_tail(terms, x), expected) > -1e-9);
    CHECK(excess(log10_weighted_tail(terms, x), expected) < 1e-8);
  }
}

TEST_CASE("weighted tail: falls with x, and does not underflow") {
  std::vector<WeightedTerms> terms;
  for (int k = 1; k <= 400; ++k) terms.push_back({std::log1p(k) * (k % 5 == 0 ? -0.3 : 1.0), 30});
  double mean = 0.0, variance = 0.0;
  for (const WeightedTerms& t : terms) {
    mean += t.weight * 30.0;
    variance += t.weight * t.weight * 30.0;
  }
  double last = 0.1;
  for (double z = -4.0; z < 400.0; z = z < 8.0 ? z + 0.5 : 2.0 * z) {
    const double found = log10_weighted_tail(terms, mean + z * std::sqrt(variance));
    CHECK(found < last);
    CHECK(std::isfinite(found));
    last = found;
  }
  CHECK(last < -3000.0);
}

TEST_CASE("weighted tail: the ends of the range") {
  const WeightedTerms up[] = {{1.0, 3}}, down[] = {{-1.0, 3}};
  CHECK(log10_weighted_tail(up, 0.0) == 0.0);
  CHECK(log10_weighted_tail(up, -1.0) == 0.0);
  CHECK(log10_weighted_tail(down, 0.1) == -HUGE_VAL);
  CHECK(std::pow(10.0, log10_weighted_tail(down, -3.0)) ==
        doctest::Approx(1.0 - std::pow(10.0, log10_gamma_tail(3.0, 3.0))));
  CHECK(log10_weighted_tail({}, 0.0) == 0.0);
}

TEST_CASE("weighted e-value: a mean over the tilts, of mean 1 each") {
  const WeightedTerms terms[] = {{2.0, 3}, {-1.0, 2}};
  const double sums[] = {5.0, 3.0};
  const double tilts[] = {0.1, 0.2};
  double mean = 0.0;
  for (const double theta : tilts) {
    mean += 0.5 * std::exp(theta * (2.0 * 5.0 - 3.0)) * std::pow(1.0 - 2.0 * theta, 3) *
            std::pow(1.0 + theta, 2);
  }
  CHECK(log10_weighted_e_value(terms, sums, tilts) == doctest::Approx(std::log10(mean)));
  // A large weight's scores are tilted by a half at most, those of the others as before.
  const double far[] = {1.0};
  CHECK(log10_weighted_e_value(terms, sums, far) ==
        doctest::Approx((0.5 * 5.0 + 3 * std::log(0.5) - 3.0 + 2 * std::log(2.0)) /
                        std::numbers::ln10));
}
