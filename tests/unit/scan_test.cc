#include "detect/scan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "rates.h"
#include "stats/gamma_tail.h"

using namespace countermark;
using detect::scan;
using detect::Scan;
using detect::Window;

namespace {

constexpr double unscored = std::numeric_limits<double>::quiet_NaN();

/// 1 - U of n tokens without the mark.
std::vector<double> noise(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> rests(n);
  for (double& rest : rests) rest = test::random_rest(random);
  return rests;
}

/// Makes the scores of tokens begin to end - 1 so many times as high: 1 - U to that power.
void plant(std::vector<double>& rests, std::size_t begin, std::size_t end, double mean) {
  for (std::size_t i = begin; i < end; ++i) rests[i] = std::pow(rests[i], mean);
}

double score_of(const std::vector<double>& rests, std::size_t begin, std::size_t end) {
  double sum = 0.0;
  for (std::size_t i = begin; i < end; ++i) {
    if (!std::isnan(rests[i])) sum -= std::log(rests[i]);
  }
  return sum;
}

/// What holds for every scan.
void check_sound(const Scan& scanned, const std::vector<double>& rests, double log10_bar) {
  std::size_t before = 0;
  for (const Window& region : scanned.regions) {
    CHECK(region.begin >= before);
    CHECK(region.begin < region.end);
    REQUIRE(region.end <= rests.size());
    before = region.end;
    // Ends are scored themselves.
    CHECK_FALSE(std::isnan(rests[region.begin]));
    CHECK_FALSE(std::isnan(rests[region.end - 1]));
    const auto scored = static_cast<std::size_t>(
        std::count_if(rests.begin() + static_cast<std::ptrdiff_t>(region.begin),
                      rests.begin() + static_cast<std::ptrdiff_t>(region.end),
                      [](double rest) { return !std::isnan(rest); }));
    CHECK(region.scored == scored);
    CHECK(region.score == doctest::Approx(score_of(rests, region.begin, region.end)).epsilon(1e-9));
    CHECK(region.log10_p <= log10_bar + 1e-9);
    CHECK(region.log10_p >= scanned.log10_p - 1e-9);
  }
}

bool is_near(std::size_t a, std::size_t b, std::size_t most) {
  return (a > b ? a - b : b - a) <= most;
}

}  // namespace

TEST_CASE("scan: finds where the scores are high, and how far they go") {
  std::size_t off_by = 0;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    CAPTURE(seed);
    std::vector<double> rests = noise(2000, seed);
    plant(rests, 700, 1000, 2.5);
    const Scan found = scan(rests, -8.0);
    check_sound(found, rests, -8.0);
    REQUIRE(found.regions.size() == 1);
    CHECK(found.log10_p == doctest::Approx(found.regions[0].log10_p));
    CHECK(is_near(found.regions[0].begin, 700, 25));
    CHECK(is_near(found.regions[0].end, 1000, 25));
    off_by += found.regions[0].begin > 700 ? found.regions[0].begin - 700 : 0;
    off_by += found.regions[0].end < 1000 ? 1000 - found.regions[0].end : 0;
  }
  // Not too short on the whole.
  CHECK(off_by < 60);
}

TEST_CASE("scan: finds several parts, short and long, that do not overlap") {
  std::vector<double> rests = noise(4000, 7);
  plant(rests, 100, 180, 3.0);
  plant(rests, 1000, 1800, 1.8);
  plant(rests, 3940, 4000, 4.0);
  const Scan found = scan(rests, -6.0);
  check_sound(found, rests, -6.0);
  REQUIRE(found.regions.size() == 3);
  constexpr std::size_t ends[3][2] = {{100, 180}, {1000, 1800}, {3940, 4000}};
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(is_near(found.regions[i].begin, ends[i][0], 40));
    CHECK(is_near(found.regions[i].end, ends[i][1], 40));
  }
  // A higher bar leaves the strongest; without one no part is told, with the same p-value.
  const Scan strict = scan(rests, found.log10_p + 1e-6);
  CHECK(strict.regions.size() == 1);
  CHECK(scan(rests, {}).regions.empty());
  CHECK(scan(rests, {}).log10_p == found.log10_p);
  CHECK(scan(rests, found.log10_p - 1e-6).regions.empty());
}

TEST_CASE("scan: the strongest window is paid for as often as windows and lengths were tried") {
  // 200 tokens: lengths 32 and 64, of which 43 and 18 windows at steps of 4 and 8; the text's first
  // 64 tokens are one of them.
  std::vector<double> rests(200, std::exp(-0.5));
  for (std::size_t i = 0; i < 64; ++i) rests[i] = std::exp(-3.0);
  CHECK(scan(rests, {}).log10_p ==
        doctest::Approx(stats::log10_gamma_tail(64, 192.0) + std::log10(2.0 * 18.0)).epsilon(1e-9));
  // Of 64 tokens, 9 windows of 32.
  rests.resize(64, 0.0);
  CHECK(scan(rests, {}).log10_p ==
        doctest::Approx(stats::log10_gamma_tail(32, 96.0) + std::log10(9.0)).epsilon(1e-9));
}

TEST_CASE("scan: a text that is marked all over is one part") {
  for (const std::size_t n : {64, 100, 1000, 5000}) {
    CAPTURE(n);
    std::vector<double> rests = noise(n, n);
    plant(rests, 0, n, 2.5);
    const Scan found = scan(rests, -4.0);
    check_sound(found, rests, -4.0);
    REQUIRE(found.regions.size() == 1);
    CHECK(found.regions[0].begin <= 20);
    CHECK(found.regions[0].end + 20 >= n);
  }
}

TEST_CASE("scan: tokens that are not scored are passed over, and counted in what they lie in") {
  std::vector<double> dense = noise(600, 9);
  plant(dense, 200, 400, 2.5);
  // Every other token is not scored, and a long stretch in the middle of the part.
  std::vector<double> sparse;
  for (std::size_t i = 0; i < dense.size(); ++i) {
    sparse.push_back(dense[i]);
    sparse.push_back(unscored);
    if (i == 300) sparse.insert(sparse.end(), 500, unscored);
  }
  const Scan of_dense = scan(dense, -6.0), of_sparse = scan(sparse, -6.0);
  check_sound(of_sparse, sparse, -6.0);
  CHECK(of_sparse.log10_p == of_dense.log10_p);
  REQUIRE(of_dense.regions.size() == 1);
  REQUIRE(of_sparse.regions.size() == 1);
  CHECK(of_sparse.regions[0].scored == of_dense.regions[0].scored);
  CHECK(of_sparse.regions[0].begin == 2 * of_dense.regions[0].begin);
  CHECK(of_sparse.regions[0].end == 2 * of_dense.regions[0].end + 499);
}

TEST_CASE("scan: a short text has no parts, whatever it looks like") {
  CHECK_FALSE(detect::is_long_enough(63));
  CHECK(detect::is_long_enough(64));
  for (const std::size_t n : {0, 1, 32, 63}) {
    CAPTURE(n);
    const Scan found = scan(std::vector<double>(n, 1e-12), -1.0);
    CHECK(found.log10_p == 0.0);
    CHECK(found.regions.empty());
  }
  std::vector<double> rests(1000, unscored);
  std::fill_n(rests.begin() + 500, 63, 1e-12);
  CHECK(scan(rests, -1.0).log10_p == 0.0);
  rests[999] = 0.5;
  CHECK(scan(rests, -1.0).log10_p < -100.0);
}

TEST_CASE("scan: over many noises, p-values and parts are no more frequent than they may be") {
  for (const std::size_t n : {64, 150, 700}) {
    constexpr std::size_t tried = 4000;
    constexpr double rates[] = {0.3, 0.1, 0.01};
    std::size_t small[3] = {}, with_parts = 0;
    for (std::uint64_t seed = 0; seed < tried; ++seed) {
      const std::vector<double> rests = noise(n, 1000 * n + seed);
      const Scan found = scan(rests, -1.0);
      with_parts += !found.regions.empty();
      // Parts are there just if the strongest window reaches the bar.
      CHECK(found.regions.empty() == (found.log10_p > -1.0));
      for (std::size_t r = 0; r < 3; ++r) small[r] += found.log10_p <= std::log10(rates[r]);
    }
    CAPTURE(n);
    CHECK(test::chance_of(with_parts, tried, 0.1) > 1e-6);
    for (std::size_t r = 0; r < 3; ++r) {
      CAPTURE(rates[r]);
      CHECK(test::chance_of(small[r], tried, rates[r]) > 1e-6);
      // Windows that overlap are paid for as if they did not, and no more than that.
      CHECK(small[r] > tried * rates[r] / 20.0);
    }
  }
}

TEST_CASE("scan: in a long text a part is found where it is") {
  constexpr std::size_t n = 1'000'000;
  std::vector<double> rests = noise(n, 11);
  plant(rests, 654'321, 654'521, 3.0);
  const Scan found = scan(rests, -6.0);
  check_sound(found, rests, -6.0);
  REQUIRE(found.regions.size() == 1);
  CHECK(is_near(found.regions[0].begin, 654'321, 20));
  CHECK(is_near(found.regions[0].end, 654'521, 20));
}
