#include "stats/log_product.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace countermark;

TEST_CASE("LogProduct: is the sum of the logarithms, at every number of factors") {
  std::mt19937_64 random(1);
  for (const std::size_t size : {0, 1, 15, 16, 17, 1000, 100000}) {
    stats::LogProduct product;
    long double expected = 0.0L;
    for (std::size_t i = 0; i < size; ++i) {
      // Between 2^-53 and 1, near either end too.
      const double tiny = std::scalbn(static_cast<double>(random() >> 11) + 1.0, -53);
      const double factor = i % 3 == 0 ? tiny : i % 3 == 1 ? 1.0 - tiny * 0x1p-30 : 0x1p-53;
      product.multiply(factor);
      expected -= std::log(static_cast<long double>(factor));
    }
    CHECK(product.factors() == size);
    // Half an ulp of a factor each, and of the sum.
    const double allowed =
        static_cast<double>(size) * 0x1p-53 + static_cast<double>(expected) * 0x1p-52;
    CHECK(std::abs(product.minus_log() - static_cast<double>(expected)) <= allowed);
  }
}

TEST_CASE("LogProduct: a run of the smallest factors does not underflow") {
  stats::LogProduct product;
  for (int i = 0; i < 100; ++i) product.multiply(0x1p-53);
  CHECK(product.minus_log() == doctest::Approx(100.0 * 53.0 * std::log(2.0)).epsilon(1e-14));
}
