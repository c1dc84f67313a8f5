#include "stats/gamma_tail.h"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <numbers>

using countermark::stats::inverse_log10_gamma_tail;
using countermark::stats::log10_gamma_tail;

namespace {

void check_close(double actual, double expected) {
  CAPTURE(expected);
  // Of a p-value next to 1 the digits that a double of it holds.
  CHECK(std::abs(actual - expected) <= 1e-11 * std::abs(expected) + 1e-16);
}

}  // namespace

TEST_CASE("log10_gamma_tail: nothing scored, or a sum of 0, is no evidence") {
  CHECK(log10_gamma_tail(0, 0) == 0.0);
  CHECK(log10_gamma_tail(0, 5) == 0.0);
  CHECK(log10_gamma_tail(1, 0) == 0.0);
  CHECK(log10_gamma_tail(1000, 0) == 0.0);
}

TEST_CASE("log10_gamma_tail: equals the closed forms of n = 1 and n = 2, far beyond underflow") {
  for (const double x : {1e-9, 0.5, 1.0, 3.0, 30.0, 600.0, 667.0, 668.0, 669.0, 675.0, 680.0, 745.0,
                         1e3, 1e5, 1e9, 1e15}) {
    CAPTURE(x);
    // Q(1, x) = e^-x and Q(2, x) = (1 + x) e^-x
    check_close(log10_gamma_tail(1, x), -x / std::numbers::ln10);
    if (x > 1e-3) check_close(log10_gamma_tail(2, x), (std::log1p(x) - x) / std::numbers::ln10);
  }
}

TEST_CASE("log10_gamma_tail: equals exact values, near the median and far in both tails") {
  // mpmath with 60 digits: the sum of e^-x x^k / k! over k < n. The switch of methods at 1e-290 is
  // crossed between the rows that stand around it.
  constexpr struct {
    double n, x, log10_p;
  } cases[] = {
      {10, 0.1, -1.0928359670296979214e-17},   {10, 5, -0.014047507224793153096},
      {10, 9.669, -0.30106189221929187985},    {10, 10, -0.33920117474603042057},
      {10, 20, -2.3014286604244015124},        {10, 100, -30.948713389630108829},
      {10, 690, -279.66762015376892082},       {10, 720, -292.53034234956111773},
      {10, 800, -326.86263140013198653},       {10, 10000, -4312.5041910635155966},
      {10, 1e6, -434246.04166237604043},       {1000, 500, -1.5294719535747892329e-51},
      {1000, 900, -0.00023888520736452415192}, {1000, 999.667, -0.30103343242405342084},
      {1000, 1000, -0.30469807121598817902},   {1000, 1100, -2.9749714941171032799},
      {1000, 1500, -42.656650771437355841},    {1000, 2700, -309.06683515904592883},
      {1000, 2900, -364.9397458072856593},     {1000, 5000, -1040.7092450387034698},
      {1000, 100000, -40999.048474172969088},  {1e6, 990000, -2.3654477350622252526e-24},
      {1e6, 999000, -0.075025992125824137226}, {1e6, 999999.667, -0.3010301111627948695},
      {1e6, 1000000, -0.30114551664802311808}, {1e6, 1001000, -0.79954565180651349204},
      {1e6, 1010000, -22.974407534426371041},  {1e6, 1036000, -276.80167825998419377},
      {1e6, 1037000, -292.10706143447644692},  {1e6, 1100000, -2039.1621698302522605},
      {1e6, 2000000, -133267.88533010958819},  {1e6, 1e8, -40995159.103147100336},
  };
  for (const auto& c : cases) {
    CAPTURE(c.n);
    CAPTURE(c.x);
    check_close(log10_gamma_tail(c.n, c.x), c.log10_p);
  }
}

TEST_CASE("log10_gamma_tail: falls without a jump where the methods change") {
  constexpr struct {
    double n, low, high;
  } cases[] = {{1, 660, 680}, {10, 700, 730}, {1000, 2600, 2680}, {1e6, 1036500, 1037200}};
  for (const auto& c : cases) {
    CAPTURE(c.n);
    constexpr int steps = 2000;
    const double step = (c.high - c.low) / steps;
    double before = log10_gamma_tail(c.n, c.low);
    CHECK(before > -290.0);
    for (int i = 1; i <= steps; ++i) {
      const double x = c.low + step * i;
      const double now = log10_gamma_tail(c.n, x);
      // The slope of ln Q is the hazard, which lies between 1 - n / x and 1.
      const double fall = (before - now) * std::numbers::ln10;
      REQUIRE(fall > 0.0);
      REQUIRE(fall <= step + 1e-8);
      REQUIRE(fall >= step * (1.0 - c.n / c.low) - 1e-8);
      before = now;
    }
    CHECK(before < -290.0);
  }
}

TEST_CASE(
    "inverse_log10_gamma_tail: finds the sum of a tail, from next to 1 to far beyond a double") {
  for (const double n : {1.0, 2.0, 32.0, 1000.0, 1e6}) {
    for (const double log10_tail :
         {-1e-3, -0.3, -1.0, -6.0, -50.0, -289.9, -290.1, -1000.0, -1e5}) {
      CAPTURE(n);
      CAPTURE(log10_tail);
      const double x = inverse_log10_gamma_tail(n, log10_tail);
      CHECK(log10_gamma_tail(n, x) == doctest::Approx(log10_tail).epsilon(1e-9));
      if (n == 1.0) CHECK(x == doctest::Approx(-log10_tail * std::numbers::ln10).epsilon(1e-9));
    }
  }
}
