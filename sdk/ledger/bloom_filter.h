// A Bloom filter that threads write at once.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace countermark::ledger {

/// Each element is five bits of one word, so that it costs one look into memory and at most one
/// write. Elements are hashes of 64 bits, uniform ones.
class BloomFilter {
 public:
  using Word = std::uint64_t;

  /// Throws std::bad_alloc.
  explicit BloomFilter(std::size_t words)
      : words_(std::make_unique<std::atomic<Word>[]>(words)), size_(words) {}

  std::size_t size() const noexcept { return size_; }
  Word word(std::size_t i) const noexcept { return words_[i].load(std::memory_order_relaxed); }

  void merge(std::size_t i, Word bits) noexcept {
    std::atomic<Word>& word = words_[i];
    // Most are known after a while, and a read leaves the line with the other cores.
    if ((bits & ~word.load(std::memory_order_relaxed)) != 0) {
      word.fetch_or(bits, std::memory_order_relaxed);
    }
  }
  void add(std::uint64_t hash) noexcept { merge(place(hash), bits(hash)); }
  bool contains(std::uint64_t hash) const noexcept {
    return (bits(hash) & ~word(place(hash))) == 0;
  }
  void prefetch(std::uint64_t hash) const noexcept { __builtin_prefetch(&words_[place(hash)], 1); }

  /// The number of elements that leaves as many bits unset, on average.
  double elements() const noexcept;
  /// The share of other hashes that contains() takes for elements.
  double false_positive_rate() const noexcept;

 private:
  static constexpr int bits_each = 5;

  /// By the upper bits; those in the word follow from the lower thirty.
  std::size_t place(std::uint64_t hash) const noexcept {
    return static_cast<std::size_t>((static_cast<__uint128_t>(hash) * size_) >> 64);
  }
  static Word bits(std::uint64_t hash) noexcept {
    Word bits = 0;
    for (int k = 0; k < bits_each; ++k) bits |= Word{1} << (hash >> (6 * k) & 63);
    return bits;
  }

  std::unique_ptr<std::atomic<Word>[]> words_;
  std::size_t size_;
};

}  // namespace countermark::ledger
