// MurmurHash3's 32-bit hash over whole words with the seed 0, as SGLang uses it:
// docs/spec/sglang-aaronson.md, section 2.
#pragma once

#include <bit>
#include <cstdint>

namespace countermark::prf {

class Murmur3 {
 public:
  Murmur3& add(std::uint32_t word) noexcept {
    word = std::rotl(word * 0xCC9E2D51, 15) * 0x1B873593;
    hash_ = std::rotl(hash_ ^ word, 13) * 5 + 0xE6546B64;
    ++count_;
    return *this;
  }
  /// The low half first.
  Murmur3& add(std::uint64_t words) noexcept {
    return add(static_cast<std::uint32_t>(words)).add(static_cast<std::uint32_t>(words >> 32));
  }

  std::uint32_t value() const noexcept {
    std::uint32_t hash = hash_ ^ (4 * count_);
    hash = (hash ^ (hash >> 16)) * 0x85EBCA6B;
    hash = (hash ^ (hash >> 13)) * 0xC2B2AE35;
    return hash ^ (hash >> 16);
  }

 private:
  std::uint32_t hash_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace countermark::prf
