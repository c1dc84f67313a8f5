// The likelihood's p-values, token by token and over many texts.
#include "detect/likelihood.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <random>
#include <vector>

#include "rates.h"

using namespace countermark;
using detect::weigh_likelihood;

namespace {

double log10_p_of(double rest, double p) {
  return weigh_likelihood(std::vector{rest}, std::vector{p}).log10_p;
}

/// What the likelihood takes for one value of 1 - U: eighths of octaves of 1 - U up to one half,
/// and of U beyond. Here the first of the values in it, in increasing order of 1 - U, with the
/// share of all 2^52 values that lie in this cell and before it.
struct Cell {
  double rest;
  double up_to;
};

std::vector<Cell> cells() {
  std::vector<double> edges;
  for (int octave = -53; octave < -1; ++octave) {
    for (int eighth = 0; eighth < 8; ++eighth) {
      edges.push_back(std::ldexp(1.0 + eighth / 8.0, octave));
    }
  }
  edges.push_back(0.5);
  // The values are (n + 1/2) 2^-52: so many lie below x.
  const auto below = [](double x) { return std::ceil(x * 0x1p52 - 0.5); };
  std::vector<Cell> cells;
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    const double first = below(edges[i]), after = below(edges[i + 1]);
    if (first < after) cells.push_back({(first + 0.5) * 0x1p-52, after * 0x1p-52});
  }
  // The same of U, from one half down.
  for (std::size_t i = edges.size() - 1; i > 0; --i) {
    const double first = below(edges[i - 1]), after = below(edges[i]);
    if (first < after) cells.push_back({1.0 - (after - 0.5) * 0x1p-52, 1.0 - first * 0x1p-52});
  }
  return cells;
}

}  // namespace

TEST_CASE("weigh_likelihood: the p-value of one token is the share of U that are as likely") {
  const std::vector<Cell> all = cells();
  CHECK(all.back().up_to == 1.0);
  for (const double p : {1e-12, 1e-10, 1.9e-7, 1e-4, 0.1, 0.5, 0.9, 0.97, 1.0 - 1e-6, 1.0}) {
    for (std::size_t i = 0; i + 1 < all.size(); i += 30) {
      CAPTURE(p);
      CAPTURE(all[i].rest);
      const double log10_p = log10_p_of(all[i].rest, p);
      const double share = std::log10(all[i].up_to);
      CHECK(log10_p >= share - 1e-9);
      // Cells may share a step. Where the next one does not, the p-value is exact.
      if (log10_p_of(all[i + 1].rest, p) > log10_p + 1e-7) {
        CHECK(log10_p == doctest::Approx(share).epsilon(1e-7));
      }
    }
    CHECK(log10_p_of(all.back().rest, p) == 0.0);
  }
}

TEST_CASE("weigh_likelihood: p-values of U that are independent of the text are not too small") {
  std::mt19937_64 random(2026);
  constexpr struct {
    std::size_t n;
    std::size_t draws;
  } cases[] = {{1, 200}, {5, 100}, {50, 50}};
  // Some tokens that say much, and many that say next to nothing.
  constexpr double some[] = {1e-9, 1e-3, 0.1, 0.5, 0.9, 1.0 - 1e-4, 1.0 - 1e-6, 1.0};
  for (const auto& c : cases) {
    CAPTURE(c.n);
    std::vector<double> log10_p;
    for (std::size_t i = 0; i < c.draws; ++i) {
      std::vector<double> rests, p;
      for (std::size_t k = 0; k < c.n; ++k) {
        rests.push_back(test::random_rest(random));
        p.push_back(some[random() % std::size(some)]);
      }
      log10_p.push_back(weigh_likelihood(rests, p).log10_p);
    }
    for (const double rate : {0.5, 0.1, 0.01}) {
      CAPTURE(rate);
      const double bar = std::log10(rate);
      const auto count = static_cast<std::size_t>(
          std::ranges::count_if(log10_p, [&](double x) { return x <= bar; }));
      CHECK(test::chance_of(count, c.draws, rate) > 1e-6);
      // Of many tokens the sum is nearly continuous, and the p-value nearly uniform.
      if (c.n == 50) CHECK(test::chance_of(c.draws - count, c.draws, 1.0 - 0.9 * rate) > 1e-6);
    }
  }
}
