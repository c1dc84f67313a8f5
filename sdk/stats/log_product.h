// Sums of -ln x by one logarithm for many factors.
#pragma once

#include <cmath>
#include <cstddef>

#include "stats/sum.h"

namespace countermark::stats {

/// -ln of a product of factors in [2^-53, 1]. Sixteen of them stay above 2^-848 and are off by 16
/// roundings, so that the sum is off by less than 2^-53 a factor.
class LogProduct {
 public:
  void multiply(double factor) noexcept {
    product_ *= factor;
    if (++factors_ % at_once != 0) return;
    sum_.add(-std::log(product_));
    product_ = 1.0;
  }

  /// The number of factors.
  std::size_t factors() const noexcept { return factors_; }

  double minus_log() const noexcept {
    Sum sum = sum_;
    sum.add(-std::log(product_));
    return sum.value();
  }

 private:
  static constexpr std::size_t at_once = 16;

  Sum sum_;
  double product_ = 1.0;
  std::size_t factors_ = 0;
};

}  // namespace countermark::stats
