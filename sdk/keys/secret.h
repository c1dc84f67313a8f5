// 32 bytes that nobody else shall see.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace countermark::keys {

/// A 32-byte secret in memory pages of its own, which core dumps leave out, which are kept from
/// swap where the system's limits allow, and which are wiped before they are given back.
/// Immutable; copies share the bytes. Compared in constant time; cannot be printed.
class Secret {
 public:
  static constexpr std::size_t size_bytes = 32;
  using Bytes = std::array<std::uint8_t, size_bytes>;

  /// Copies `bytes`. Throws Error(InvalidKey) unless there are 32.
  explicit Secret(std::span<const std::uint8_t> bytes);

  /// Draws one from the system's generator. Throws Error(CryptoFailure).
  static Secret generate();

  /// The one door to the bytes: grep for reveal() to audit every use.
  std::span<const std::uint8_t, size_bytes> reveal() const noexcept { return *bytes_; }

  bool operator==(const Secret& other) const noexcept;

 private:
  std::shared_ptr<const Bytes> bytes_;
};

}  // namespace countermark::keys
