#include "ledger/bloom_filter.h"

#include <algorithm>
#include <cmath>

namespace countermark::ledger {

double BloomFilter::elements() const noexcept {
  // A word of a Poisson number of elements, each of five bits drawn with repetition, leaves a bit
  // unset with exp(-elements / words * (1 - (63 / 64)^5)).
  double set = 0.0;
  for (std::size_t i = 0; i < size_; ++i) set += std::popcount(word(i));
  const double words = static_cast<double>(size_);
  // Full: as if all bits but one were set.
  const double unset = std::max(1.0, 64.0 * words - set) / (64.0 * words);
  return -words * std::log(unset) / (1.0 - std::pow(63.0 / 64.0, bits_each));
}

double BloomFilter::false_positive_rate() const noexcept {
  double sum = 0.0;
  for (std::size_t i = 0; i < size_; ++i) sum += std::pow(std::popcount(word(i)) / 64.0, bits_each);
  return sum / static_cast<double>(size_);
}

}  // namespace countermark::ledger
