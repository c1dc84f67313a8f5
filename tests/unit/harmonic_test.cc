#include "stats/harmonic.h"

#include <doctest/doctest.h>

#include <cmath>

using countermark::stats::harmonic;

TEST_CASE("harmonic: equals the harmonic numbers, and mpmath between and beyond them") {
  constexpr struct {
    double x, value;
  } cases[] = {{0.0, 0.0},
               {0.5, 0.61370563888010938117},
               {1.0, 1.0},
               {2.0, 1.5},
               {2.5, 1.6803723055467760478},
               {10.0, 2.9289682539682539683},
               {1e3, 7.4854708605503449127},
               {1e6, 14.392726722865723631},
               {1e12, 28.208236780830581069},
               {1e300, 691.35274356311523807}};
  for (const auto& c : cases) {
    CAPTURE(c.x);
    CHECK(std::abs(harmonic(c.x) - c.value) <= 1e-14 * (1.0 + c.value));
  }
}
