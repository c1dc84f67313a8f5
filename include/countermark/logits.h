// A row of logits in the caller's own memory, and how to turn it into a distribution.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace countermark {

/// A view of one contiguous row of logits; the caller keeps the memory alive. Never copied.
class Logits {
 public:
  enum class Type : std::uint8_t { Float32, Float16, BFloat16 };

  /// A row of float32.
  Logits(std::span<const float> row) noexcept  // NOLINT(google-explicit-constructor): a view
      : data_(row.data()), size_(row.size()), type_(Type::Float32) {}

  Logits(const std::vector<float>& row) noexcept  // NOLINT(google-explicit-constructor)
      : Logits(std::span<const float>(row)) {}

  /// A row of IEEE binary16 or of bfloat16, as their bits.
  static Logits float16(std::span<const std::uint16_t> bits) noexcept {
    return {bits.data(), bits.size(), Type::Float16};
  }
  static Logits bfloat16(std::span<const std::uint16_t> bits) noexcept {
    return {bits.data(), bits.size(), Type::BFloat16};
  }

  /// Any of the three; `data` is aligned for its type.
  Logits(const void* data, std::size_t size, Type type) noexcept
      : data_(data), size_(size), type_(type) {}

  const void* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  Type type() const noexcept { return type_; }

 private:
  const void* data_;
  std::size_t size_;
  Type type_;
};

/// How logits become a distribution. Applied in this order, in binary64.
struct SamplingOptions {
  /// Logits are divided by it; 0 or more and finite. 0 takes the largest logit (the lowest id among
  /// equals), and is not marked.
  double temperature = 1.0;
  /// Keeps the k largest and all that tie with the last of them; 0 keeps everything.
  std::int64_t top_k = 0;
  /// Keeps, in order of probability (ties by id), the fewest whose sum reaches it; in (0, 1].
  double top_p = 1.0;
  /// Keeps what has at least this share of the largest probability; in [0, 1].
  double min_p = 0.0;
};

}  // namespace countermark
