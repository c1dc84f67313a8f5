// Which tokens follow which contexts, and how often.
#pragma once

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

/// The contexts of `width` tokens that `tokens` go on from.
Contexts contexts_in(std::span<const TokenId> tokens, std::size_t width);

/// Counts of pairs, whole or not.
class PairCounts {
 public:
  struct Token {
    TokenId token;
    double count;
  };

  void add(const keys::Block& context, TokenId token, double count);

  /// In the order in which they were first seen.
  std::span<const keys::Block> contexts() const noexcept { return contexts_; }
  std::span<const Token> tokens(std::size_t context) const noexcept { return tokens_[context]; }
  /// Those of a context; none where it was never seen.
  std::span<const Token> after(const keys::Block& context) const;
  bool empty() const noexcept { return contexts_.empty(); }

 private:
  std::unordered_map<keys::Block, std::size_t, BlockHash> numbers_;
  std::vector<keys::Block> contexts_;
  std::vector<std::vector<Token>> tokens_;
};

}  // namespace countermark::distill
