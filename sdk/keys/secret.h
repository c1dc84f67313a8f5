// Bytes that nobody else shall see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace countermark::keys {

/// A secret in memory pages of its own, which core dumps leave out, which are kept from
/// swap where the system's limits allow, and which are wiped before they are given back.
/// Immutable; copies share the bytes. Compared in constant time; cannot be printed.
class Secret {
 public:
  /// Of the secrets that are ours; the keys of other engines are shorter or longer.
  static constexpr std::size_t size_bytes = 32;
  static constexpr std::size_t most_bytes = 4096;

  /// Copies `bytes`. Throws Error(InvalidKey) unless there are 1 to most_bytes.
  explicit Secret(std::span<const std::uint8_t> bytes);

  /// Draws one of size_bytes from the system's generator. Throws Error(CryptoFailure).
  static Secret generate();

  /// The one door to the bytes: grep for reveal() to audit every use.
  std::span<const std::uint8_t> reveal() const noexcept { return {bytes_.get(), size_}; }

  bool operator==(const Secret& other) const noexcept;

 private:
  std::shared_ptr<const std::uint8_t> bytes_;
  std::size_t size_;
};

}  // namespace countermark::keys
