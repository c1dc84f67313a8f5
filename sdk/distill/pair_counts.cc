#include "distill/pair_counts.h"

#include <algorithm>
#include <bit>

#include "marks/context_history.h"
#include "marks/countermark_1.h"

namespace countermark::distill {

std::size_t BlockHash::operator()(const keys::Block& block) const noexcept {
  return marks::context_hash(context_tokens(block));
}

std::array<TokenId, 4> context_tokens(const keys::Block& context) noexcept {
  return std::bit_cast<std::array<TokenId, 4>>(context);
}

Contexts contexts_in(std::span<const TokenId> tokens, std::size_t width) {
  Contexts contexts;
  for (std::size_t i = width; i < tokens.size(); ++i) {
    contexts.insert(marks::context_of(tokens.first(i), static_cast<std::int64_t>(width)));
  }
  return contexts;
}

std::size_t PairCounts::row_of(const keys::Block& context) {
  const auto [found, is_new] = rows_.try_emplace(context, contexts_.size());
  if (is_new) {
    contexts_.push_back(context);
    places_.push_back(0.0);
    tokens_.emplace_back();
  }
  return found->second;
}

void PairCounts::add(const keys::Block& context, TokenId token, double count) {
  std::vector<Token>& tokens = tokens_[row_of(context)];
  const auto place = std::lower_bound(tokens.begin(), tokens.end(), token,
                                      [](const Token& t, TokenId id) { return t.token < id; });
  if (place != tokens.end() && place->token == token) {
    place->count += count;
  } else {
    tokens.insert(place, {token, count});
  }
}

std::span<const PairCounts::Token> PairCounts::after(const keys::Block& context) const {
  const auto found = rows_.find(context);
  if (found == rows_.end()) return {};
  return tokens_[found->second];
}

double PairCounts::places_after(const keys::Block& context) const {
  const auto found = rows_.find(context);
  return found == rows_.end() ? 0.0 : places_[found->second];
}

}  // namespace countermark::distill
