// What the marks with green lists have in common: docs/spec/green-lists.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "marks/engine_mark.h"

namespace countermark::marks {

/// Of a permutation.
inline constexpr std::int64_t largest_vocab = std::int64_t{1} << 24;

/// Lists that are the first of a permutation of the vocabulary.
struct PermutedLists {
  std::uint32_t green_size = 0, vocab_size = 0;

  /// `ratio` of the vocabulary, rounded down. Throws Error(InvalidOption), calling it `name`, where
  /// no token is left.
  static PermutedLists of(std::uint32_t vocab_size, double ratio, const char* name);

  bool is_green(std::uint64_t list, TokenId token) const;
  std::vector<TokenId> greens(std::uint64_t list) const;
  double share() const noexcept {
    return static_cast<double>(green_size) / static_cast<double>(vocab_size);
  }
};

/// What the self hashes of all engines look a token up in: torch's permutation of 1,000,003
/// numbers.
class PermutedTable {
 public:
  explicit PermutedTable(std::uint64_t seed);
  std::uint64_t operator()(TokenId token) const noexcept {
    return numbers_[static_cast<std::uint32_t>(token) % numbers_.size()] + std::uint64_t{1};
  }

 private:
  std::vector<std::uint32_t> numbers_;
};

/// The self hash: the least, as a signed number, of the products key * hash(c) * hash(v) over the
/// tokens c of a window whose last is v. 64 bits that wrap.
template <typename Hash>
std::int64_t least_product(std::uint64_t key, std::span<const TokenId> window, Hash&& hash) {
  const std::uint64_t of_token = hash(window.back());
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const TokenId token : window) {
    least = std::min(least, static_cast<std::int64_t>(key * hash(token) * of_token));
  }
  return least;
}

/// A rule by which a context makes some tokens green: an engine's hashing, with its key.
class GreenRule {
 public:
  virtual ~GreenRule() = default;

  /// Tokens that a list depends on, the token itself among them where `is_self_seeded`.
  virtual std::size_t window() const noexcept = 0;
  virtual bool is_self_seeded() const noexcept = 0;
  /// The list of a window of so many tokens, oldest first: its seed, as the generator takes it.
  virtual std::uint64_t list(std::span<const TokenId> window) const noexcept = 0;
  virtual bool is_green(std::uint64_t list, TokenId token) const = 0;
  /// Whether a list is cut from a permutation, so that all of it costs little more than a token.
  virtual bool permutes() const noexcept = 0;
  /// All green tokens of a list, where it permutes.
  virtual std::vector<TokenId> greens(std::uint64_t list) const = 0;
  /// The probability that a token is green under a key that is independent of it.
  virtual double share() const noexcept = 0;
  /// The same as the engine's own detector takes it.
  virtual double nominal_share() const noexcept = 0;
};

/// How an engine biases.
struct GreenBias {
  /// Added to a green token's logit.
  double delta = 2.0;
  /// Before temperature and truncation, or after them.
  bool is_first = false;
  /// Where seeds depend on the token: how many of the likeliest are looked at; 0: all.
  std::size_t looked_at = 0;
  /// Where fewer tokens come before than there are in a window: whether they are padded with zeros
  /// on the left, or the position is not marked.
  bool is_padded = false;
};

/// The engine's own count, over every window or each one once, and the normal tail of its z.
struct GreenCount {
  bool counts_repeats = false;
  const char* remark = "";
};

std::shared_ptr<const EngineMark> make_green_list(
    const keys::Secret& key, std::function<std::shared_ptr<const GreenRule>(const keys::Secret&)>,
    const GreenBias& bias, const GreenCount& count);

}  // namespace countermark::marks
