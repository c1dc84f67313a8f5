// The mark countermark/1: docs/spec/countermark-1.md. Placement, selection and score side by side,
// so that embedding and detection cannot drift apart. Knows nothing of servers or of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "countermark/error.h"
#include "countermark/token.h"
#include "kernels/kernels.h"
#include "keys/aes.h"
#include "keys/derivation.h"
#include "keys/secret.h"
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

  /// Throws Error(InvalidOption) naming the first parameter out of range.
  void validate() const;

  /// Reads and validates; a parameter that is absent takes its default. Throws Error(InvalidOption)
  /// or Error(InvalidProfile).
  static Countermark1Parameters from_json(const base::Json& json);

  /// Writes every parameter into `json`, leaving other fields alone.
  void write(base::Json& json) const;
};

/// The mark's parameters completed in place; for the table of marks.
void complete_countermark_1(base::Json& parameters);

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

/// Keeps the candidate that section 6 selects. Candidates come in any order.
class Selection {
 public:
  /// Offers a candidate of weight > 0 with its -ln U. Whether it is the best so far.
  bool offer(TokenId token, double exponential, double weight) noexcept {
    const double key = exponential / weight;
    if (key < best_ || (key == best_ && token < token_)) {
      best_ = key;
      token_ = token;
      return true;
    }
    return false;
  }

  /// The same by its hash. -ln U >= 1 - U, so that few need the logarithm.
  bool offer_hash(TokenId token, std::uint64_t hash, double weight) noexcept {
    // Two roundings lie between this and the comparison of keys, if the best one is a normal
    // number.
    constexpr double slack = 1.0 + 0x1p-50;
    if (best_ > 0x1p-1000 && prf::one_minus_uniform(hash) > best_ * weight * slack) return false;
    return offer(token, prf::exponential(hash), weight);
  }
  TokenId token() const noexcept { return token_; }

 private:
  double best_ = HUGE_VAL;
  // Above every id, so that even a key of infinity beats having no candidate.
  TokenId token_ = INT32_MAX;
};

/// Keys and parameters. Immutable; any number of walks may start from one object at once.
class Countermark1 {
 public:
  /// Throws Error(InvalidOption) or Error(CryptoFailure).
  Countermark1(const keys::Secret& secret, const Countermark1Parameters& parameters);

  const Countermark1Parameters& parameters() const noexcept { return parameters_; }
  keys::AccountKey account_key(std::uint64_t account) const {
    return keys::account_key(accounts_, account);
  }

  /// Whether position `i` of a response is drawn freely whatever its place.
  bool in_free_prefix(std::size_t i) const noexcept {
    return i < static_cast<std::size_t>(parameters_.free_prefix);
  }

 private:
  friend class Walk;

  Countermark1Parameters parameters_;
  keys::Aes narrow_;
  keys::Aes wide_;
  keys::Secret accounts_;
};

/// A response, token by token: section 4. The sampler and the detector take the same walk.
class Walk {
 public:
  /// Throws Error(CryptoFailure).
  explicit Walk(const Countermark1& mark);

  /// The place of the position that comes next.
  const Place& next() const noexcept { return next_; }

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
  struct SeedHash {
    // A seed is a cipher's output: any part of it is a hash.
    std::size_t operator()(const keys::Seed& seed) const noexcept { return seed.k1; }
  };

  [[nodiscard]] bool seed_of(keys::Aes& cipher, std::int64_t width, keys::Seed& seed) noexcept;
  [[nodiscard]] bool place(Place& place) noexcept;

  Countermark1Parameters parameters_;
  keys::Aes narrow_;
  keys::Aes wide_;
  std::vector<TokenId> tokens_;
  std::vector<Place> places_;
  std::unordered_set<keys::Seed, SeedHash> used_;
  Place next_;
};

}  // namespace countermark::marks
