#include "detect/likelihood.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "rates.h"
#include "stats/sum.h"

using namespace countermark;
using detect::LikelihoodEvidence;
using detect::log_likelihood_ratio;
using detect::weigh_likelihood;

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr double probabilities[] = {1e-12, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.99, 1.0 - 1e-6, 1.0};

LikelihoodEvidence weigh(const std::vector<double>& rests, const std::vector<double>& p) {
  return weigh_likelihood(rests, p);
}

/// 1 - U of a token that was selected with probability p: U is V^p, V uniform.
double selected_rest(double p, std::mt19937_64& random) {
  const double log_u = p * std::log(test::random_rest(random));
  return std::clamp(-std::expm1(log_u), 0x1p-53, 1.0 - 0x1p-53);
}

}  // namespace

TEST_CASE("log_likelihood_ratio: the ratio's mean under the null is 1, whatever the probability") {
  for (const double p : probabilities) {
    CAPTURE(p);
    // By the trapezoidal rule after U = 1 / (1 + e^-x), which resolves both ends.
    constexpr double step = 1.0 / 64;
    stats::Sum mean;
    for (double x = -36.5; x <= 45.0; x += step) {
      const double rest = 1.0 / (1.0 + std::exp(x)), u = 1.0 / (1.0 + std::exp(-x));
      mean.add(step * u * rest * std::exp(log_likelihood_ratio(rest, p)));
    }
    CHECK(mean.value() == doctest::Approx(1.0).epsilon(1e-6));
  }
}

TEST_CASE("log_likelihood_ratio: is never below a tenth, and grows with U") {
  for (const double p : probabilities) {
    CAPTURE(p);
    double before = HUGE_VAL;
    for (double rest = 0x1p-53; rest < 1.0; rest *= 1.5) {
      const double now = log_likelihood_ratio(rest, p);
      REQUIRE(now >= std::log(0.1) - 1e-12);
      REQUIRE(now <= before);
      before = now;
    }
    // A certain token says nothing; a rare one whose U is as large as can be says nearly all it
    // can.
    if (p == 1.0) CHECK(before == doctest::Approx(0.0));
    if (p < 1.0) CHECK(log_likelihood_ratio(0x1p-53, p) > std::log(0.4 / p) - 0.01);
  }
  CHECK(std::isfinite(log_likelihood_ratio(0x1p-53, std::numeric_limits<double>::denorm_min())));
}

TEST_CASE("weigh_likelihood: leaves out what is not scored or not known") {
  std::mt19937_64 random(1);
  std::vector<double> rests, p, rests_with, p_with;
  for (int i = 0; i < 40; ++i) {
    const double rest = test::random_rest(random), some = 0.2 + 0.1 * (i % 4);
    rests.push_back(rest);
    p.push_back(some);
    rests_with.insert(rests_with.end(), {rest, unknown, 0.001, unknown});
    p_with.insert(p_with.end(), {some, 0.5, unknown, unknown});
  }
  const LikelihoodEvidence plain = weigh(rests, p), with = weigh(rests_with, p_with);
  CHECK(plain.scored == 40);
  CHECK(with.scored == 40);
  CHECK(with.log10_p == plain.log10_p);
  CHECK(with.log10_e == plain.log10_e);
  CHECK(with.expected_log10_e == plain.expected_log10_e);
  for (const LikelihoodEvidence& nothing : {weigh({}, {}), weigh({unknown, 0.1}, {0.1, unknown})}) {
    CHECK(nothing.scored == 0);
    CHECK(nothing.log10_p == 0.0);
    CHECK(nothing.log10_e == 0.0);
    CHECK(nothing.expected_log10_e == 0.0);
  }
}

TEST_CASE("weigh_likelihood: a marked text has about the evidence that is expected of it") {
  std::mt19937_64 random(7);
  for (const std::size_t n : {60, 3000}) {
    CAPTURE(n);
    std::vector<double> rests, p;
    double sum = 0.0, squares = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      constexpr double some[] = {0.01, 0.1, 0.3, 0.7, 0.95, 1.0};
      p.push_back(some[i % std::size(some)]);
      rests.push_back(selected_rest(p.back(), random));
      const double log10_ratio = log_likelihood_ratio(rests.back(), p.back()) / std::numbers::ln10;
      sum += log10_ratio;
      squares += log10_ratio * log10_ratio;
    }
    const LikelihoodEvidence evidence = weigh(rests, p);
    CHECK(evidence.scored == n);
    CHECK(evidence.log10_e == doctest::Approx(sum).epsilon(1e-12));
    // Five standard deviations, by the squares of the terms.
    CHECK(std::abs(evidence.log10_e - evidence.expected_log10_e) < 5.0 * std::sqrt(squares));
    CHECK(evidence.expected_log10_e > 0.1 * static_cast<double>(n));
    // By Markov's inequality the exact p-value of e is at most 1/e; cells and steps cost little.
    CHECK(evidence.log10_p < -0.9 * evidence.log10_e);
    CHECK(std::isfinite(evidence.log10_p));
  }
}

TEST_CASE("weigh_likelihood: stays finite and in order at both ends") {
  const std::vector<double> p = {1e-300, 1e-12, 0.5, 0.999, 1.0};
  const double highest = weigh(std::vector<double>(5, 0x1p-53), p).log10_p;
  const double lowest = weigh(std::vector<double>(5, 1.0 - 0x1p-53), p).log10_p;
  CHECK(highest < -25.0);
  CHECK(std::isfinite(highest));
  CHECK(lowest == doctest::Approx(0.0));
  CHECK(weigh(std::vector<double>(2000, 0x1p-53), std::vector<double>(2000, 0.01)).log10_p <
        -5000.0);
}
