// Whom each context was served to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "distill/pair_counts.h"
#include "keys/aes.h"

namespace countermark::distill {

/// After which contexts the responses of each account were marked.
class LogContexts {
 public:
  void add_account(std::uint64_t account) { accounts_.insert(account); }
  void add(std::uint64_t account, const keys::Block& context) {
    const auto [known, is_new] = owners_.try_emplace(context, account);
    if (!is_new && known->second != account) known->second.reset();
  }

  std::size_t accounts() const noexcept { return accounts_.size(); }
  /// The account that alone was served the context; nothing where there is none.
  std::optional<std::uint64_t> owner(const keys::Block& context) const {
    const auto known = owners_.find(context);
    return known == owners_.end() ? std::nullopt : known->second;
  }

 private:
  std::unordered_set<std::uint64_t> accounts_;
  /// Empty: several.
  std::unordered_map<keys::Block, std::optional<std::uint64_t>, BlockHash> owners_;
};

}  // namespace countermark::distill
