// The seeds that a response has used.
#pragma once

#include <cstddef>
#include <vector>

#include "keys/aes.h"

namespace countermark::marks {

/// A hash table with open addressing: no allocation but when it grows. A seed is a cipher's output,
/// so that any part of it is a hash.
class SeedSet {
 public:
  bool contains(const keys::Seed& seed) const noexcept;
  /// False where it is in the set already. Does not allocate where reserve() has made room.
  bool insert(const keys::Seed& seed);
  /// Of a seed that is in the set.
  void erase(const keys::Seed& seed) noexcept;
  /// Makes room for `count` seeds in all.
  void reserve(std::size_t count);

  std::size_t size() const noexcept { return size_ + has_zero_; }

  /// Asks for the memory where `seed` would be, so that contains() need not wait for it.
  void prefetch(const keys::Seed& seed) const noexcept {
    if (!slots_.empty()) __builtin_prefetch(&slots_[home(seed)]);
  }

 private:
  std::size_t home(const keys::Seed& seed) const noexcept { return seed.k1 & (slots_.size() - 1); }
  std::size_t after(std::size_t slot) const noexcept { return (slot + 1) & (slots_.size() - 1); }
  /// Where `seed` is, or would be; there is an empty slot.
  std::size_t find(const keys::Seed& seed) const noexcept;

  /// A power of two of them, or none; one that is zero is empty.
  std::vector<keys::Seed> slots_;
  std::size_t size_ = 0;
  bool has_zero_ = false;
};

}  // namespace countermark::marks
