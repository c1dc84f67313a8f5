#include "marks/context_history.h"

#include <xxhash.h>

namespace countermark::marks {

std::uint64_t context_hash(std::span<const TokenId> context) noexcept {
  return XXH3_64bits(context.data(), context.size_bytes());
}

void ContextHistory::push(std::uint64_t hash) {
  const auto [found, is_new] = last_.try_emplace(hash, hashes_.size());
  before_.push_back(is_new ? unlimited : found->second);
  found->second = hashes_.size();
  hashes_.push_back(hash);
}

void ContextHistory::pop() noexcept {
  const auto found = last_.find(hashes_.back());
  if (before_.back() == unlimited) {
    last_.erase(found);
  } else {
    found->second = before_.back();
  }
  hashes_.pop_back();
  before_.pop_back();
}

bool ContextHistory::contains(std::uint64_t hash, std::size_t most) const {
  const auto found = last_.find(hash);
  return found != last_.end() && hashes_.size() - found->second <= most;
}

}  // namespace countermark::marks
