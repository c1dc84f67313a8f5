// Which of some candidates Gumbel-max marks select.
#pragma once

#include <cmath>
#include <cstdint>

#include "countermark/token.h"
#include "marks/candidate.h"
#include "prf/mix.h"

namespace countermark::marks {

/// Keeps the candidate with the least exponential over weight, the lowest id among equals.
/// Candidates come in any order.
class Selection {
 public:
  /// Offers a candidate of weight > 0 with its -ln U. Whether it is the best so far.
  bool offer(TokenId token, double exponential, double weight) noexcept {
    const double key = exponential / weight;
    if (key < best_ || (key == best_ && token < token_)) {
      best_ = key;
      token_ = token;
      return true;
    }
    return false;
  }

  /// The same by its hash. -ln U >= 1 - U, so that few need the logarithm.
  bool offer_hash(TokenId token, std::uint64_t hash, double weight) noexcept {
    // Two roundings lie between this and the comparison of keys, if the best one is a normal
    // number.
    constexpr double slack = 1.0 + 0x1p-50;
    if (best_ > 0x1p-1000 && prf::one_minus_uniform(hash) > best_ * weight * slack) return false;
    return offer(token, prf::exponential(hash), weight);
  }
  TokenId token() const noexcept { return token_; }

 private:
  double best_ = HUGE_VAL;
  // Above every id, so that even a key of infinity beats having no candidate.
  TokenId token_ = INT32_MAX;
};

}  // namespace countermark::marks
