#include "distill/pair_counts.h"

#include <algorithm>

#include "marks/context_history.h"
#include "marks/countermark_1.h"

namespace countermark::distill {

std::size_t BlockHash::operator()(const keys::Block& block) const noexcept {
  const auto words = std::bit_cast<std::array<TokenId, 4>>(block);
  return marks::context_hash(words);
}

Contexts contexts_in(std::span<const TokenId> tokens, std::size_t width) {
  Contexts contexts;
  for (std::size_t i = width; i < tokens.size(); ++i) {
    contexts.insert(marks::context_of(tokens.first(i), static_cast<std::int64_t>(width)));
  }
  return contexts;
}

void PairCounts::add(const keys::Block& context, TokenId token, double count) {
  const auto [found, is_new] = numbers_.try_emplace(context, contexts_.size());
  if (is_new) {
    contexts_.push_back(context);
    tokens_.emplace_back();
  }
  std::vector<Token>& tokens = tokens_[found->second];
  const auto known =
      std::find_if(tokens.begin(), tokens.end(), [&](const Token& t) { return t.token == token; });
  if (known != tokens.end()) {
    known->count += count;
  } else {
    tokens.push_back({token, count});
  }
}

std::span<const PairCounts::Token> PairCounts::after(const keys::Block& context) const {
  const auto found = numbers_.find(context);
  if (found == numbers_.end()) return {};
  return tokens_[found->second];
}

}  // namespace countermark::distill
