// Accounts side by side, for the kernels.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "base/workers.h"
#include "countermark/tracer.h"
#include "kernels/kernels.h"
#include "prf/mix.h"
#include "trace/account_keys.h"

namespace countermark::trace {

/// Keys of some accounts one after the other.
class Tile {
 public:
  static constexpr std::size_t capacity = 256;
  static_assert(capacity % kernels::account_lanes == 0);

  /// Rows begin to end - 1, at most capacity.
  Tile(const AccountKeys& keys, std::size_t begin, std::size_t end) noexcept
      : begin_(begin), size_(end - begin) {
    constexpr std::size_t lanes = kernels::account_lanes;
    padded_ = (size_ + lanes - 1) / lanes * lanes;
    for (std::size_t i = 0; i < padded_; ++i) {
      const keys::AccountKey key = i < size_ ? keys[begin + i] : keys::AccountKey{};
      linear_a1_[i] = prf::linear(key.a1);
      a2_[i] = key.a2;
    }
  }

  std::size_t begin() const noexcept { return begin_; }
  std::size_t size() const noexcept { return size_; }
  kernels::AccountColumns columns() const noexcept {
    return {linear_a1_.data(), a2_.data(), padded_};
  }

 private:
  std::size_t begin_, size_, padded_;
  alignas(64) std::array<std::uint64_t, capacity> linear_a1_;
  alignas(64) std::array<std::uint64_t, capacity> a2_;
};

/// For each account of a tile, a product of any number of factors as a fraction in [1, 2) and an
/// exponent. Off by one rounding a factor.
class Products {
 public:
  Products() noexcept {
    fractions_.fill(1.0);
    exponents_.fill(0);
  }

  /// Factors are normal and positive.
  void multiply(std::span<const double, Tile::capacity> factors) noexcept {
    for (std::size_t i = 0; i < Tile::capacity; ++i) {
      const auto bits = std::bit_cast<std::uint64_t>(fractions_[i] * factors[i]);
      exponents_[i] += static_cast<std::int64_t>(bits >> 52) - 1023;
      fractions_[i] = std::bit_cast<double>((bits & fraction_bits) | one_bits);
    }
  }
  void multiply(const Products& others) noexcept {
    multiply(others.fractions_);
    for (std::size_t i = 0; i < Tile::capacity; ++i) exponents_[i] += others.exponents_[i];
  }

  double minus_log(std::size_t i) const noexcept {
    return -(std::log(fractions_[i]) +
             static_cast<double>(exponents_[i]) * std::numbers::ln2_v<double>);
  }

  /// -log2, to 0.01: between 1 and 2 the logarithm is close to a parabola.
  double about_minus_log2(std::size_t i) const noexcept {
    constexpr double bend = 0.3436;
    const double f = fractions_[i] - 1.0;
    return -(static_cast<double>(exponents_[i]) + f + bend * f * (1.0 - f));
  }

 private:
  static constexpr std::uint64_t one_bits = 0x3FF0000000000000;
  static constexpr std::uint64_t fraction_bits = 0x000FFFFFFFFFFFFF;

  std::array<double, Tile::capacity> fractions_;
  std::array<std::int64_t, Tile::capacity> exponents_;
};

using Factors = std::array<double, Tile::capacity>;

/// Multiplies what the positions of `hashes` say into `products`.
inline void multiply(const Tile& tile, std::span<const std::uint64_t> hashes, Products& products) {
  alignas(64) Factors factors;
  factors.fill(1.0);
  for (std::size_t t = 0; t < hashes.size(); t += kernels::most_factors) {
    const std::size_t count = std::min(kernels::most_factors, hashes.size() - t);
    kernels::active().multiply(tile.columns(), hashes.data() + t, count, factors.data());
    products.multiply(factors);
  }
}

/// Calls `body(begin, end)` for ranges of rows that cover all of `keys`, on the workers' threads,
/// and tells the progress in between.
template <typename Body>
void for_ranges(const AccountKeys& keys, base::Workers& workers, const Progress& progress,
                Body&& body) {
  constexpr std::size_t range = 8 * Tile::capacity;
  constexpr std::size_t ranges_between_calls = 512;
  const std::size_t step = progress ? range * ranges_between_calls : keys.size();
  for (std::size_t begin = 0; begin < keys.size(); begin += step) {
    if (progress) progress(begin, keys.size());
    const std::size_t end = std::min(keys.size(), begin + step);
    workers.run((end - begin + range - 1) / range, [&](std::size_t i) {
      const std::size_t first = begin + i * range;
      body(first, std::min(end, first + range));
    });
  }
  if (progress) progress(keys.size(), keys.size());
}

}  // namespace countermark::trace
