// What torch.randperm draws on a CPU: docs/spec/green-lists.md, section 2. A generator on a GPU
// draws another permutation.
#pragma once

#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace countermark::prf {

/// Seeded as torch.Generator.manual_seed does: by the lower 32 bits.
class TorchPermutation {
 public:
  explicit TorchPermutation(std::uint64_t seed) : generator_(static_cast<std::uint32_t>(seed)) {}

  /// The first `count` of a permutation of `size` numbers.
  std::vector<std::uint32_t> first(std::uint32_t count, std::uint32_t size) {
    std::vector<std::uint32_t> numbers(size);
    std::iota(numbers.begin(), numbers.end(), 0U);
    for (std::uint32_t i = 0; i < count && i + 1 < size; ++i) {
      std::swap(numbers[i], numbers[i + draw(size - i)]);
    }
    numbers.resize(count);
    return numbers;
  }

  /// Whether `number` is among them, without the others.
  bool is_among_first(std::uint32_t number, std::uint32_t count, std::uint32_t size) {
    std::uint32_t at = number;
    for (std::uint32_t i = 0; i < count && i + 1 < size; ++i) {
      const std::uint32_t other = i + draw(size - i);
      if (other == at) return true;
      if (i == at) at = other;
    }
    return at < count;
  }

 private:
  std::uint32_t draw(std::uint32_t below) {
    return static_cast<std::uint32_t>(generator_()) % below;
  }
  std::mt19937 generator_;
};

}  // namespace countermark::prf
