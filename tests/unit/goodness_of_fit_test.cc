#include "stats/goodness_of_fit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <vector>

using namespace countermark;
using stats::goodness_of_fit;
using stats::GoodnessOfFit;
using stats::log10_goodness_of_fit_bound;
using stats::log10_goodness_of_fit_tail;

namespace {

/// n K(i/n, p), as the header has it.
double divergence(std::size_t n, std::size_t i, double p) {
  const auto size = static_cast<double>(n);
  const double u = static_cast<double>(i) / size;
  if (u <= p) return 0.0;
  const double misses = i < n ? (1.0 - u) * std::log((1.0 - u) / (1.0 - p)) : 0.0;
  return size * (u * std::log(u / p) + misses);
}

/// The largest p where rank i reaches s, by bisection; 0 where it does not.
double level(std::size_t n, std::size_t i, double s) {
  double low = 1.0 / static_cast<double>(n);
  double high = static_cast<double>(i) / static_cast<double>(n);
  if (divergence(n, i, low) < s) return 0.0;
  for (int round = 0; round < 60; ++round) {
    const double middle = 0.5 * (low + high);
    (divergence(n, i, middle) >= s ? low : high) = middle;
  }
  return low;
}

std::vector<double> levels(std::size_t n, double s) {
  std::vector<double> all(n + 1);
  for (std::size_t i = 1; i <= n; ++i) all[i] = level(n, i, s);
  return all;
}

/// P(Binomial(n, p) = k)
double binomial(std::size_t n, std::size_t k, double p) {
  const auto size = static_cast<double>(n), hits = static_cast<double>(k);
  if (p <= 0.0) return k == 0 ? 1.0 : 0.0;
  if (p >= 1.0) return k == n ? 1.0 : 0.0;
  return std::exp(std::lgamma(size + 1.0) - std::lgamma(hits + 1.0) -
                  std::lgamma(size - hits + 1.0) + hits * std::log(p) +
                  (size - hits) * std::log1p(-p));
}

/// The tail from the other end: how many p-values lie below each level, with those counts that
/// reach a rank taken out as they do. O(n^3).
double tail_by_counts(std::size_t n, double s) {
  const std::vector<double> level = levels(n, s);
  std::vector<double> counts(n + 1);
  counts[0] = 1.0;
  double crossed = 0.0, before = 0.0;
  for (std::size_t i = 1; i <= n; ++i) {
    if (level[i] == 0.0) continue;
    const double p = (level[i] - before) / (1.0 - before);
    std::vector<double> next(n + 1);
    for (std::size_t c = 0; c <= n; ++c) {
      for (std::size_t k = 0; counts[c] > 0.0 && c + k <= n; ++k) {
        next[c + k] += counts[c] * binomial(n - c, k, p);
      }
    }
    for (std::size_t c = i; c <= n; ++c) {
      crossed += next[c];
      next[c] = 0.0;
    }
    counts = next;
    before = level[i];
  }
  return crossed;
}

/// The header's sum with no rank left out. O(n^2).
double tail_by_last_rank(std::size_t n, double s) {
  const std::vector<double> level = levels(n, s);
  std::vector<double> log_factorial(n + 1), is_last(n + 1);
  for (std::size_t i = 1; i <= n; ++i) log_factorial[i] = std::lgamma(static_cast<double>(i) + 1.0);
  const auto chance = [&](std::size_t size, std::size_t k, double p) {
    const auto hits = static_cast<double>(k), misses = static_cast<double>(size - k);
    return std::exp(log_factorial[size] - log_factorial[k] - log_factorial[size - k] +
                    hits * std::log(p) + misses * std::log1p(-p));
  };
  double tail = 0.0;
  for (std::size_t i = n; i > 0 && level[i] > 0.0; --i) {
    double crossed = 0.0;
    for (std::size_t j = i + 1; j <= n; ++j) {
      crossed += chance(n - i, j - i, (level[j] - level[i]) / (1.0 - level[i])) * is_last[j];
    }
    is_last[i] = 1.0 - crossed;
    tail += chance(n, i, level[i]) * is_last[i];
  }
  return tail;
}

GoodnessOfFit of(std::vector<double> p_values) { return goodness_of_fit(p_values); }

}  // namespace

TEST_CASE("goodness_of_fit: is the largest divergence over the ranks") {
  // The three small ones count as 1/4 where they are below it.
  const GoodnessOfFit found = of({0.9, 0.02, 0.3, 0.05});
  CHECK(found.rank == 3);
  CHECK(found.level == 0.3);
  CHECK(found.statistic ==
        doctest::Approx(4.0 * (0.75 * std::log(0.75 / 0.3) + 0.25 * std::log(0.25 / 0.7))));
  CHECK(of({0.9, 0.02, 0.7, 0.05}).level == 0.25);
  CHECK(of({0.5, 0.6, 0.7, 0.8}).statistic == doctest::Approx(divergence(4, 4, 0.8)));
  CHECK(of({0.5, 0.6, 0.7, 0.8}).rank == 4);

  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform;
  for (const std::size_t n : {1, 2, 3, 10, 100}) {
    CAPTURE(n);
    std::vector<double> p_values(n);
    for (double& p : p_values) p = uniform(random);
    std::vector<double> sorted = p_values;
    std::sort(sorted.begin(), sorted.end());
    double largest = 0.0;
    for (std::size_t i = 1; i <= n; ++i) {
      largest = std::max(largest,
                         divergence(n, i, std::max(sorted[i - 1], 1.0 / static_cast<double>(n))));
    }
    const GoodnessOfFit some = of(p_values);
    CHECK(some.statistic == doctest::Approx(largest).epsilon(1e-12));
    if (some.rank > 0) {
      CHECK(divergence(n, some.rank, some.level) == doctest::Approx(largest).epsilon(1e-12));
    }
  }
}

TEST_CASE("goodness_of_fit: nothing and high p-values are no evidence, and smaller ones are more") {
  CHECK(of({}).statistic == 0.0);
  CHECK(of({1e-9}).statistic == 0.0);
  CHECK(of({0.51, 0.999, 0.9999}).statistic < 0.01);
  CHECK(of(std::vector<double>{1.0 - 1e-16}).rank == 0);
  CHECK(of(std::vector<double>{1.0 - 1e-16}).level == 1.0);
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform;
  std::vector<double> p_values(30);
  for (double& p : p_values) p = uniform(random);
  double before = of(p_values).statistic;
  for (int i = 0; i < 300; ++i) {
    p_values[random() % p_values.size()] *= uniform(random);
    const double now = of(p_values).statistic;
    REQUIRE(now >= before);
    before = now;
  }
  // All of them below 1/n: the most there is.
  CHECK(of(std::vector<double>(30, 1e-12)).statistic == doctest::Approx(30.0 * std::log(30.0)));
}

TEST_CASE("log10_goodness_of_fit_tail: equals the closed forms of two and three p-values") {
  // Of two, the second rank alone can be above its p-value: P(both below b), b = exp(-s/2).
  for (const double s : {1e-6, 0.01, 0.5, 1.0, 1.386}) {
    CAPTURE(s);
    CHECK(log10_goodness_of_fit_tail(2, s) ==
          doctest::Approx(-s / std::numbers::ln10).epsilon(1e-10));
  }
  // Of three, at least two below a or all below b: 3 a^2 (1 - a) + a^3 + 3 a^2 (b - a) less what
  // both count, that is b^3 + 3 a^2 (1 - b).
  for (const double s : {1e-3, 0.1, 0.5, 0.6}) {
    CAPTURE(s);
    const double a = level(3, 2, s), b = std::exp(-s / 3.0);
    CHECK(a > 1.0 / 3.0);
    CHECK(log10_goodness_of_fit_tail(3, s) ==
          doctest::Approx(std::log10(b * b * b + 3.0 * a * a * (1.0 - b))).epsilon(1e-10));
  }
  // Beyond what the second rank reaches, b alone is left.
  CHECK(level(3, 2, 1.0) == 0.0);
  CHECK(log10_goodness_of_fit_tail(3, 1.0) == doctest::Approx(-1.0 / std::numbers::ln10));
}

TEST_CASE("log10_goodness_of_fit_tail: equals the counts below each level, one after the other") {
  for (const std::size_t n : {4, 9, 30, 80}) {
    for (const double s : {0.05, 0.5, 1.5, 3.0, 6.0, 12.0, 30.0}) {
      if (divergence(n, n, 1.0 / static_cast<double>(n)) < s) continue;
      CAPTURE(n);
      CAPTURE(s);
      CHECK(std::pow(10.0, log10_goodness_of_fit_tail(n, s)) ==
            doctest::Approx(tail_by_counts(n, s)).epsilon(1e-7));
    }
  }
}

TEST_CASE("log10_goodness_of_fit_tail: beyond 256 ranks it is above the truth, and not by much") {
  for (const std::size_t n : {256, 600, 1500}) {
    for (const double s : {0.5, 2.0, 5.0, 10.0, 15.0, 30.0}) {
      CAPTURE(n);
      CAPTURE(s);
      const double exact = tail_by_last_rank(n, s);
      const double excess = log10_goodness_of_fit_tail(n, s) - std::log10(exact);
      CHECK(excess >= -1e-8);
      if (n == 256) CHECK(excess <= 1e-8);
      CHECK(excess <= (exact > 0.01 ? 0.3 : 0.1));
    }
  }
}

TEST_CASE("log10_goodness_of_fit_tail: so often is the statistic as large in uniform p-values") {
  constexpr struct {
    std::size_t n;
    int draws;
  } cases[] = {{16, 20'000}, {100, 6'000}, {400, 1'500}};
  constexpr double rates[] = {0.3, 0.1, 0.01};
  std::mt19937_64 random(2026);
  std::uniform_real_distribution<double> uniform;
  for (const auto& c : cases) {
    CAPTURE(c.n);
    // Where the tail has each rate: the statistic is compared with it, which is quicker than a tail
    // for each draw.
    double at[3];
    for (int r = 0; r < 3; ++r) {
      double low = 0.1, high = 20.0;
      for (int round = 0; round < 30; ++round) {
        const double middle = 0.5 * (low + high);
        (log10_goodness_of_fit_tail(c.n, middle) > std::log10(rates[r]) ? low : high) = middle;
      }
      at[r] = high;
    }
    int reached[3] = {};
    std::vector<double> p_values(c.n);
    for (int i = 0; i < c.draws; ++i) {
      for (double& p : p_values) p = uniform(random);
      const double s = goodness_of_fit(p_values).statistic;
      for (int r = 0; r < 3; ++r) reached[r] += s >= at[r];
    }
    for (int r = 0; r < 3; ++r) {
      // Five standard deviations of nine counts: a false alarm in two hundred thousand runs. (The
      // rarest is a Poisson count of at least 15, and its own tail at five of them is thinner still
      // below, and 6e-6 above.)
      CAPTURE(rates[r]);
      const double expected = c.draws * rates[r];
      CHECK(std::abs(reached[r] - expected) < 5.0 * std::sqrt(expected * (1.0 - rates[r])));
    }
  }
}

TEST_CASE("log10_goodness_of_fit_tail: falls from 1 to nothing, and far beyond a double") {
  for (const std::size_t n : {2, 3, 16, 49, 300}) {
    CAPTURE(n);
    const double most = divergence(n, n, 1.0 / static_cast<double>(n));
    double before = 0.0;
    for (const double part : {0.0, 1e-300, 1e-17, 1e-15, 1e-12, 1e-6, 1e-3, 0.01, 0.03, 0.1,
                              0.2, 0.3,    0.4,   0.5,   0.6,   0.7,  0.8,  0.9,  0.99, 1.0}) {
      CAPTURE(part);
      const double now = log10_goodness_of_fit_tail(n, part * most);
      REQUIRE(std::isfinite(now));
      REQUIRE(now <= before + 1e-10);
      before = now;
    }
    // All n below 1/n.
    const auto size = static_cast<double>(n);
    CHECK(before == doctest::Approx(-size * std::log10(size)).epsilon(1e-9));
    CHECK(log10_goodness_of_fit_tail(n, most * (1.0 + 1e-9)) == -HUGE_VAL);
  }
  CHECK(log10_goodness_of_fit_tail(300, 1200.0) < -500.0);
  CHECK(log10_goodness_of_fit_tail(0, 3.0) == 0.0);
  CHECK(log10_goodness_of_fit_tail(1, 3.0) == 0.0);
  CHECK(log10_goodness_of_fit_tail(100, -1.0) == 0.0);
}

TEST_CASE("log10_goodness_of_fit_bound: is never above the tail") {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform;
  for (const std::size_t n : {2, 16, 150}) {
    for (int i = 0; i < 60; ++i) {
      // From uniform p-values to ones that are nearly all tiny.
      const double power = std::exp2(static_cast<double>(i) / 10.0);
      std::vector<double> p_values(n);
      for (double& p : p_values)
        p = std::clamp(std::pow(uniform(random), power), 1e-16, 1.0 - 1e-16);
      const GoodnessOfFit found = goodness_of_fit(p_values);
      CAPTURE(n);
      CAPTURE(found.statistic);
      const double bound = log10_goodness_of_fit_bound(n, found);
      const double tail = log10_goodness_of_fit_tail(n, found.statistic);
      CHECK(bound <= tail + 1e-9);
    }
  }
  CHECK(log10_goodness_of_fit_bound(5, {}) == 0.0);
  // Below what a double holds it bounds nothing, and says so.
  const GoodnessOfFit all = of(std::vector<double>(300, 1e-9));
  CHECK(log10_goodness_of_fit_bound(300, all) <= log10_goodness_of_fit_tail(300, all.statistic));
}
