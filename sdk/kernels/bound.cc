#include <cmath>

#include "kernels/kernels.h"

namespace countermark::kernels {

Bound race_bound(double best, double c) noexcept {
  // A float of bits (t + 127) * 2^23 is at least 2^t: a mantissa rises linearly, 2^f below its
  // chord. In units of 2^-31, t + 31.
  constexpr double bits = 0x1p23;
  // Bits that rounding may cost: of the sum (below 2^31: half of 128), of `scale` against a logit
  // of exponent |t - best|, of 1 - U as a float.
  const double slack = 256.0 + std::abs(best);
  const auto offset = static_cast<float>((best + 31.0 + 127.0) * bits + slack);
  return {static_cast<float>(c * bits), std::nextafter(offset, HUGE_VALF)};
}

}  // namespace countermark::kernels
