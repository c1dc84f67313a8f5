// What chance does, and whether something happened too often for it.
#pragma once

#include <boost/math/special_functions/beta.hpp>
#include <cstddef>
#include <random>

namespace countermark::test {

/// P(Binomial(trials, rate) >= count): a test that a rate holds fails by chance with the
/// probability that it compares this with. The tests here take 10^-6; with fixed seeds that did not
/// happen, or always will.
inline double chance_of(std::size_t count, std::size_t trials, double rate) {
  if (count == 0) return 1.0;
  const auto hits = static_cast<double>(count);
  return boost::math::ibeta(hits, static_cast<double>(trials) - hits + 1.0, rate);
}

/// A value that 1 - U may take.
inline double random_rest(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 12) + 0.5) * 0x1p-52;
}

}  // namespace countermark::test
