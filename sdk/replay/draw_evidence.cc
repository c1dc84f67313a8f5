#include "replay/draw_evidence.h"

namespace countermark {

void DrawEvidence::rescale() noexcept {
  largest_log10_e_ = largest_log10_e();
  int shift = 0;
  (void)std::frexp(mean_, &shift);
  for (double& product : products_) product = std::ldexp(product, -shift);
  mean_ = std::ldexp(mean_, -shift);
  exponent_ += shift;
  // Anew, since it may have been infinite on the last scale and need not be on this one.
  largest_ = std::pow(10.0, largest_log10_e_ - static_cast<double>(exponent_) * std::log10(2.0));
}

}  // namespace countermark
