// What replayed draws say, as an e-value that may be looked at after each.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace countermark {

/// The product of (1 - epsilon) hit + epsilon over draws, averaged over four shares epsilon of
/// draws that come out otherwise: the one asked for with the weight 0.7, and 0.1, 0.3 and 0.6 with
/// 0.1 each, for texts that were edited a lot and where each word spoils a few draws.
class DrawEvidence {
 public:
  explicit DrawEvidence(double epsilon) noexcept : epsilons_{epsilon, 0.1, 0.3, 0.6} {}

  /// `hit` is one over the probability of the token, if that is what the mark draws, and 0 if not.
  /// Its mean is 1 at most for a text that is independent of the key.
  void add(double hit) noexcept {
    hit = std::fmin(hit, 0x1p500);  // less evidence is always allowed
    mean_ = 0.0;
    for (std::size_t k = 0; k < shares; ++k) {
      products_[k] *= (1.0 - epsilons_[k]) * hit + epsilons_[k];
      // Before rounding could hold it up.
      if (products_[k] < 0x1p-1000) products_[k] = 0.0;
      mean_ += weights[k] * products_[k];
    }
    if (mean_ > largest_) largest_ = mean_;
    if (mean_ > 0x1p200 || mean_ < 0x1p-200) rescale();
  }

  double log10_e() const noexcept { return log10_of(mean_); }
  /// The largest after any draw, 0 or more: one over it is a p-value (Ville's inequality).
  double largest_log10_e() const noexcept {
    return std::isinf(largest_) ? largest_log10_e_
                                : std::fmax(largest_log10_e_, log10_of(largest_));
  }

 private:
  static constexpr std::size_t shares = 4;
  static constexpr std::array<double, shares> weights = {0.7, 0.1, 0.1, 0.1};

  double log10_of(double scaled) const noexcept {
    return std::log10(scaled) + static_cast<double>(exponent_) * std::log10(2.0);
  }
  void rescale() noexcept;

  std::array<double, shares> epsilons_;
  /// Times 2^exponent_.
  std::array<double, shares> products_ = {1.0, 1.0, 1.0, 1.0};
  double mean_ = 1.0;
  /// Infinite where it is too far above what there is now.
  double largest_ = 1.0;
  long exponent_ = 0;
  /// As of the last change of the exponent.
  double largest_log10_e_ = 0.0;
};

}  // namespace countermark
