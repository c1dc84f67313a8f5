// Which tokens follow which contexts, and how often.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "countermark/token.h"
#include "keys/aes.h"

namespace countermark::distill {

struct BlockHash {
  std::size_t operator()(const keys::Block& block) const noexcept;
};

/// Contexts of the cipher's input.
using Contexts = std::unordered_set<keys::Block, BlockHash>;

/// The tokens of a context, the last one last; -1 before its first.
std::array<TokenId, 4> context_tokens(const keys::Block& context) noexcept;

/// The contexts of `width` tokens that `tokens` go on from.
Contexts contexts_in(std::span<const TokenId> tokens, std::size_t width);

/// Counts of pairs, whole or not.
class PairCounts {
 public:
  struct Token {
    TokenId token;
    double count;
  };

  /// A context that comes up once more, whatever follows.
  void add_place(const keys::Block& context) { places_[row_of(context)] += 1.0; }
  void add(const keys::Block& context, TokenId token, double count);

  /// In the order in which they were first seen.
  std::span<const keys::Block> contexts() const noexcept { return contexts_; }
  /// By id.
  std::span<const Token> tokens(std::size_t context) const noexcept { return tokens_[context]; }
  /// How often a context came up.
  double places(std::size_t context) const noexcept { return places_[context]; }
  bool empty() const noexcept { return contexts_.empty(); }

  /// The same of a context by name; nothing where it was never seen.
  std::span<const Token> after(const keys::Block& context) const;
  double places_after(const keys::Block& context) const;

 private:
  std::size_t row_of(const keys::Block& context);

  std::unordered_map<keys::Block, std::size_t, BlockHash> rows_;
  std::vector<keys::Block> contexts_;
  std::vector<double> places_;
  std::vector<std::vector<Token>> tokens_;
};

}  // namespace countermark::distill
