// The contexts of a response so far, for engines that mark each one once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "countermark/token.h"

namespace countermark::marks {

/// XXH3 of a context, or of a context and the token after it: two in 10^19 share it.
std::uint64_t context_hash(std::span<const TokenId> context) noexcept;

/// A stack of hashes that knows where each occurred last. Any 64 bits identify an entry.
class ContextHistory {
 public:
  static constexpr std::size_t unlimited = SIZE_MAX;

  void push(std::uint64_t hash);
  /// Takes the last one back; there is one.
  void pop() noexcept;
  std::size_t size() const noexcept { return hashes_.size(); }

  /// Whether `hash` is among the last `most` entries.
  bool contains(std::uint64_t hash, std::size_t most = unlimited) const;

 private:
  std::vector<std::uint64_t> hashes_;
  /// Of each entry: where the same hash was before, or unlimited.
  std::vector<std::size_t> before_;
  std::unordered_map<std::uint64_t, std::size_t> last_;
};

}  // namespace countermark::marks
