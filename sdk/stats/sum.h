// Sums that do not lose digits as they grow.
#pragma once

#include <cmath>

namespace countermark::stats {

/// Neumaier's compensated sum: the error does not grow with the number of terms.
class Sum {
 public:
  void add(double x) noexcept {
    const double next = sum_ + x;
    // The lost low part is that of the smaller operand.
    rest_ += std::abs(sum_) >= std::abs(x) ? (sum_ - next) + x : (x - next) + sum_;
    sum_ = next;
  }
  double value() const noexcept { return sum_ + rest_; }

 private:
  double sum_ = 0.0;
  double rest_ = 0.0;
};

}  // namespace countermark::stats
