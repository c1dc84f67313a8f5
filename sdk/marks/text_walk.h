// The walk of countermark/1 over a text that is there as a whole.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "countermark/token.h"
#include "marks/countermark_1.h"
#include "marks/seed_set.h"

namespace countermark::marks {

/// The places that Walk gives one by one, in pieces: the cipher takes many contexts at once, and
/// the used seeds are looked up in memory that is on its way.
class TextWalk {
 public:
  static constexpr std::size_t piece_size = 512;

  /// Throws Error(CryptoFailure). The caller keeps the tokens alive.
  TextWalk(const Countermark1& mark, std::span<const TokenId> tokens);

  /// The places of the next tokens, at most piece_size; none at the end of the text. Valid until
  /// the next call. Throws Error(CryptoFailure).
  std::span<const Place> next();

 private:
  /// The seeds of the contexts of `width` tokens before the positions of a piece.
  void encrypt(keys::Aes& cipher, std::int64_t width, std::size_t count,
               std::array<keys::Seed, piece_size>& seeds);

  Countermark1Parameters parameters_;
  keys::Aes narrow_;
  keys::Aes wide_;
  std::span<const TokenId> tokens_;
  std::size_t begin_ = 0;
  SeedSet used_;
  std::array<keys::Seed, piece_size> narrow_seeds_, wide_seeds_;
  std::array<Place, piece_size> places_;
};

}  // namespace countermark::marks
