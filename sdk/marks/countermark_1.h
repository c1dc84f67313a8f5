// The mark countermark/1: docs/spec/countermark-1.md. Placement, selection and score side by side,
// so that embedding and detection cannot drift apart. Knows nothing of servers or of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/json_fwd.h"
#include "countermark/error.h"
#include "countermark/token.h"
#include "kernels/kernels.h"
#include "keys/aes.h"
#include "keys/derivation.h"
#include "keys/secret.h"
#include "marks/parameters.h"
#include "marks/seed_set.h"
#include "marks/selection.h"
#include "prf/mix.h"

namespace countermark::marks {

enum class Layer : std::uint8_t { Free = 0, Narrow = 1, Wide = 2 };

/// Section 1 of the specification.
struct Countermark1Parameters {
  std::int64_t narrow_width = 2;
  std::int64_t wide_width = 4;
  std::int64_t narrow_units = 32768;
  std::int64_t free_units = 0;
  std::int64_t free_prefix = 24;
  bool accounts = false;

  /// Whether position `i` of a response is drawn freely whatever its place.
  bool in_free_prefix(std::size_t i) const noexcept {
    return i < static_cast<std::size_t>(free_prefix);
  }

  /// Whether the narrow layer takes a context with this seed, unless it was used.
  bool is_narrow(const keys::Seed& seed) const noexcept {
    const auto route = static_cast<std::int64_t>(seed.k2 >> 48);
    return free_units <= route && route < free_units + narrow_units;
  }

  /// Throws Error(InvalidOption) naming the first parameter out of range.
  void validate() const;

  /// Reads and validates; a parameter that is absent takes its default. Throws Error(InvalidOption)
  /// or Error(InvalidProfile).
  static Countermark1Parameters read(Parameters& reader);
  static Countermark1Parameters from_json(const base::Json& json);

  /// Writes every parameter into `json`, leaving other fields alone.
  void write(base::Json& json) const;
};

/// The mark's parameters completed in place; for the table of marks.
void complete_countermark_1(Parameters& parameters);

/// Where a position belongs, and the seed of its context.
struct Place {
  Layer layer = Layer::Free;
  keys::Seed seed;
};

/// The hash of a token at one position.
struct TokenHash {
  keys::Seed seed;
  std::optional<keys::AccountKey> account;

  std::uint64_t operator()(TokenId token) const noexcept {
    const std::uint64_t h = prf::mix(
        seed.k1, seed.k2, static_cast<std::uint64_t>(static_cast<std::uint32_t>(token)) << 32);
    return account ? prf::mix(account->a1, account->a2, h) : h;
  }

  /// The same for the kernels, which hash many tokens at once.
  kernels::HashKeys keys() const noexcept {
    kernels::HashKeys keys{seed.k1, seed.k2};
    if (account) keys = {seed.k1, seed.k2, true, account->a1, account->a2};
    return keys;
  }
};

/// Keys and parameters. Immutable; any number of walks may start from one object at once.
class Countermark1 {
 public:
  /// Throws Error(InvalidOption) or Error(CryptoFailure).
  Countermark1(const keys::Secret& secret, const Countermark1Parameters& parameters);

  const Countermark1Parameters& parameters() const noexcept { return parameters_; }
  keys::AccountKey account_key(std::uint64_t account) const { return account_keys().of(account); }
  keys::AccountKeys account_keys() const { return keys::AccountKeys(accounts_); }

  /// The seeds of narrow contexts, whatever their route. Throws Error(CryptoFailure).
  std::vector<keys::Seed> narrow_seeds(std::span<const keys::Block> contexts) const;

 private:
  friend class Walk;
  friend class TextWalk;

  Countermark1Parameters parameters_;
  keys::Aes narrow_;
  keys::Aes wide_;
  keys::Secret accounts_;
};

/// The cipher's input for the position after `tokens`: its last `width` tokens, at least as many.
keys::Block context_of(std::span<const TokenId> tokens, std::int64_t width) noexcept;

/// Section 4: the place of position `i`. `narrow(seed)` and `wide(seed)` give the seeds of its
/// contexts, where it has them and they are needed; false where one of them fails. `is_fresh(seed)`
/// says of the seed that would be the position's whether no earlier one has used it.
template <typename Narrow, typename Wide, typename IsFresh>
[[nodiscard]] bool find_place(const Countermark1Parameters& parameters, std::int64_t i,
                              Narrow&& narrow, Wide&& wide, IsFresh&& is_fresh, Place& place) {
  place = {};
  keys::Seed seed;
  if (i >= parameters.narrow_width) {
    if (!narrow(seed)) return false;
    const auto route = static_cast<std::int64_t>(seed.k2 >> 48);
    if (route < parameters.free_units) return true;
    if (route < parameters.free_units + parameters.narrow_units && is_fresh(seed)) {
      place = {Layer::Narrow, seed};
      return true;
    }
  }
  if (i >= parameters.wide_width) {
    if (!wide(seed)) return false;
    if (is_fresh(seed)) place = {Layer::Wide, seed};
  }
  return true;
}

/// A response as it grows, token by token: section 4. TextWalk takes the same walk over a whole
/// text.
class Walk {
 public:
  /// Throws Error(CryptoFailure).
  explicit Walk(const Countermark1& mark);

  /// The place of the position that comes next.
  const Place& next() const noexcept { return next_; }

  /// Whether the next token is selected under its seed: it has one, and is after the free prefix.
  bool next_is_marked() const noexcept {
    return next_.layer != Layer::Free && !parameters_.in_free_prefix(size());
  }

  /// Appends a token (0 or more) and uses the seed of its position. CryptoFailure leaves the walk
  /// as it was.
  [[nodiscard]] ErrorCode observe(TokenId token);

  /// Takes the last `count` tokens back, at most all.
  void rollback(std::size_t count) noexcept;

  std::size_t size() const noexcept { return tokens_.size(); }
  std::span<const TokenId> tokens() const noexcept { return tokens_; }
  /// The place of each token.
  std::span<const Place> places() const noexcept { return places_; }

  void reserve(std::size_t tokens);

 private:
  [[nodiscard]] bool place(Place& place) noexcept;

  Countermark1Parameters parameters_;
  keys::Aes narrow_;
  keys::Aes wide_;
  std::vector<TokenId> tokens_;
  std::vector<Place> places_;
  SeedSet used_;
  Place next_;
};

}  // namespace countermark::marks
