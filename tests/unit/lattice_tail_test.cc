#include "stats/lattice_tail.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <numbers>
#include <vector>

using countermark::stats::LatticeTerms;
using countermark::stats::log10_lattice_tail;

namespace {

/// So many nines, upwards and downwards.
constexpr double exact = 1e-9;

/// How much `log10_p` is above 10^expected, as a part of it.
double excess(double log10_p, long double expected) {
  return std::expm1(static_cast<double>((log10_p - expected) * std::numbers::ln10_v<long double>));
}

/// P(Binomial(n, p) >= x), term by term: all of them are positive.
long double log10_binomial_tail(std::size_t n, double p, std::size_t x) {
  const auto log_term = [&](std::size_t k) {
    return std::lgamma(1.0L + n) - std::lgamma(1.0L + k) - std::lgamma(1.0L + (n - k)) +
           k * std::log(static_cast<long double>(p)) +
           (n - k) * std::log1p(-static_cast<long double>(p));
  };
  long double largest = -HUGE_VALL, sum = 0.0L;
  for (std::size_t k = x; k <= n; ++k) largest = std::max(largest, log_term(k));
  for (std::size_t k = n + 1; k-- > x;) sum += std::exp(log_term(k) - largest);
  return (largest + std::log(sum)) / std::numbers::ln10_v<long double>;
}

/// The distribution of a sum, and the log10 of its tail at every point, by convolution in long
/// double: nothing cancels.
struct Convolution {
  std::int64_t lowest = 0;
  std::vector<long double> log10_tails;

  explicit Convolution(const std::vector<LatticeTerms>& terms) {
    std::vector<long double> all = {1.0L};
    for (const LatticeTerms& term : terms) {
      for (std::size_t i = 0; i < term.count; ++i) {
        std::vector<long double> longer(all.size() + term.probabilities.size() - 1);
        for (std::size_t a = 0; a < all.size(); ++a) {
          for (std::size_t b = 0; b < term.probabilities.size(); ++b) {
            longer[a + b] += all[a] * term.probabilities[b];
          }
        }
        all = std::move(longer);
        lowest += term.lowest;
      }
    }
    log10_tails.resize(all.size());
    long double tail = 0.0L;
    for (std::size_t k = all.size(); k-- > 0;) log10_tails[k] = std::log10(tail += all[k]);
  }
};

/// At every point of its range, within `most` above and never below.
void check_everywhere(const std::vector<LatticeTerms>& terms, double most) {
  const Convolution all(terms);
  const auto size = static_cast<std::int64_t>(all.log10_tails.size());
  double least_excess = 0.0, most_excess = 0.0;
  for (std::int64_t k = 0; k < size; ++k) {
    const double off = excess(log10_lattice_tail(terms, all.lowest + k),
                              all.log10_tails[static_cast<std::size_t>(k)]);
    // Written so that a NaN is not forgiven.
    if (!(off >= least_excess)) least_excess = off;
    if (!(off <= most_excess)) most_excess = off;
  }
  CHECK(least_excess >= -exact);
  CHECK(most_excess <= most);
  CHECK(log10_lattice_tail(terms, all.lowest) == 0.0);
  CHECK(log10_lattice_tail(terms, all.lowest - 1'000'000) == 0.0);
  CHECK(log10_lattice_tail(terms, all.lowest + size) == -HUGE_VAL);
}

/// Weights that look like nothing in particular, on so many points.
LatticeTerms uneven(std::size_t points, std::int64_t lowest, std::size_t count) {
  LatticeTerms terms;
  double sum = 0.0;
  for (std::size_t k = 0; k < points; ++k) {
    terms.probabilities.push_back(0.05 + std::abs(std::sin(7.0 * static_cast<double>(k + points))));
    sum += terms.probabilities.back();
  }
  for (double& p : terms.probabilities) p /= sum;
  terms.lowest = lowest;
  terms.count = count;
  return terms;
}

/// 0, and `jump` with probability p.
LatticeTerms rare(std::size_t jump, double p, std::size_t count) {
  LatticeTerms terms;
  terms.probabilities.assign(jump + 1, 0.0);
  terms.probabilities.front() = 1.0 - p;
  terms.probabilities.back() = p;
  terms.count = count;
  return terms;
}

}  // namespace

TEST_CASE("log10_lattice_tail: equals the binomial's, from one side of the mean to the far tail") {
  for (const std::size_t n : {1, 2, 7, 40, 1000}) {
    for (const double p : {0.5, 0.3, 0.01, 1e-6, 0.999}) {
      for (std::size_t x = 1; x <= n; x += 1 + n / 25) {
        CAPTURE(n);
        CAPTURE(p);
        CAPTURE(x);
        const std::vector<LatticeTerms> terms = {rare(1, p, n)};
        const double log10_p = log10_lattice_tail(terms, static_cast<std::int64_t>(x));
        CHECK(std::abs(excess(log10_p, log10_binomial_tail(n, p, x))) <= exact);
        const auto hits = static_cast<double>(x);
        const double tail = boost::math::ibeta(hits, static_cast<double>(n) - hits + 1.0, p);
        if (tail > 1e-290) CHECK(std::abs(excess(log10_p, std::log10(tail))) <= exact);
      }
    }
  }
}

TEST_CASE("log10_lattice_tail: goes on where a double holds no tail any more") {
  // P(all of n) = p^n, and the tail of the last but one has two terms.
  for (const std::size_t n : {400, 5000, 100'000}) {
    CAPTURE(n);
    const double p = 0.1;
    const auto top = static_cast<std::int64_t>(n);
    const std::vector<LatticeTerms> terms = {rare(1, p, n)};
    const double size = static_cast<double>(n);
    CHECK(log10_lattice_tail(terms, top) == doctest::Approx(-size).epsilon(1e-12));
    CHECK(log10_lattice_tail(terms, top - 1) ==
          doctest::Approx(-size + std::log10(1.0 + 9.0 * size)).epsilon(1e-12));
  }
  const std::vector<LatticeTerms> terms = {rare(1, 1e-3, 1000)};
  for (const std::size_t x : {150, 300, 990}) {
    CAPTURE(x);
    const long double expected = log10_binomial_tail(1000, 1e-3, x);
    CHECK(std::abs(excess(log10_lattice_tail(terms, static_cast<std::int64_t>(x)), expected)) <=
          exact);
    CHECK(expected < -200.0L);
  }
}

TEST_CASE("log10_lattice_tail: equals the convolution of terms of several kinds, everywhere") {
  check_everywhere({uneven(5, -2, 1)}, exact);
  check_everywhere({uneven(40, 3, 1)}, exact);
  check_everywhere({uneven(3, -1, 20), uneven(9, -7, 4)}, exact);
  check_everywhere({uneven(12, -100, 3), uneven(2, 50, 30), uneven(30, 0, 2)}, exact);
  check_everywhere({uneven(4, 0, 10), rare(25, 0.01, 3)}, exact);
  // A variable that says nothing, and one that is not there.
  check_everywhere({uneven(1, 7, 5), uneven(6, -3, 8), uneven(9, 1000, 0)}, exact);
}

TEST_CASE("log10_lattice_tail: below the mean nothing cancels, however lopsided the terms") {
  // The lattice of a near-certain token is full at the top and all but empty below; that of a rare
  // one is the other way round. Far below the mean a tilt upwards would make the tail a
  // difference of large numbers.
  for (const std::size_t jump : {10, 60}) {
    for (const double p : {0.5, 0.1, 1e-3, 1e-6}) {
      for (const std::size_t count : {1, 3}) {
        CAPTURE(jump);
        CAPTURE(p);
        CAPTURE(count);
        check_everywhere({rare(jump, 1.0 - p, count)}, 1e-5);
      }
    }
  }
  check_everywhere({rare(1, 0.5, 100)}, exact);
  check_everywhere({rare(1, 0.999, 100)}, exact);
}

TEST_CASE("log10_lattice_tail: within gaps it is never below the truth") {
  // Where no sum is possible between two that are far apart, digits are lost, upwards alone.
  for (const double p : {0.1, 1e-3, 1e-6, 1e-12}) {
    for (const std::size_t count : {1, 2}) {
      CAPTURE(p);
      CAPTURE(count);
      check_everywhere({rare(60, p, count)}, 0.5);
      check_everywhere({rare(60, p, count), uneven(4, -1, 3)}, 0.5);
    }
  }
}
