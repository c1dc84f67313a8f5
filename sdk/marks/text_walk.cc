#include "marks/text_walk.h"

#include <algorithm>

#include "base/fail.h"

namespace countermark::marks {

TextWalk::TextWalk(const Countermark1& mark, std::span<const TokenId> tokens)
    : parameters_(mark.parameters_), narrow_(mark.narrow_), wide_(mark.wide_), tokens_(tokens) {
  used_.reserve(tokens.size());
}

void TextWalk::encrypt(keys::Aes& cipher, std::int64_t width, std::size_t count,
                       std::array<keys::Seed, piece_size>& seeds) {
  // The first positions of a text have no context, and the mark does not ask for their seeds.
  const auto least = static_cast<std::size_t>(width);
  const std::size_t first = begin_ < least ? std::min(least - begin_, count) : 0;
  std::array<keys::Block, piece_size> blocks;
  keys::Block padding = {};
  std::fill_n(padding.begin(), padding.size() - least, 0xFFFFFFFF);
  for (std::size_t i = first; i < count; ++i) {
    const std::size_t position = begin_ + i;
    if (position < padding.size()) {
      blocks[i] = context_of(tokens_.first(position), width);
      continue;
    }
    for (std::size_t word = 0; word < padding.size(); ++word) {
      blocks[i][word] =
          static_cast<std::uint32_t>(tokens_[position - padding.size() + word]) | padding[word];
    }
  }
  if (!cipher.encrypt(std::span(blocks).subspan(first, count - first),
                      std::span(seeds).subspan(first, count - first))) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused to encrypt");
  }
}

std::span<const Place> TextWalk::next() {
  const std::size_t count = std::min(piece_size, tokens_.size() - begin_);
  encrypt(narrow_, parameters_.narrow_width, count, narrow_seeds_);
  encrypt(wide_, parameters_.wide_width, count, wide_seeds_);
  const std::int64_t narrow_end = parameters_.free_units + parameters_.narrow_units;
  for (std::size_t i = 0; i < count; ++i) {
    // The seed that is looked up first.
    const bool is_narrow = static_cast<std::int64_t>(narrow_seeds_[i].k2 >> 48) < narrow_end;
    used_.prefetch(is_narrow ? narrow_seeds_[i] : wide_seeds_[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto seed_from = [i](const std::array<keys::Seed, piece_size>& seeds) {
      return [&seeds, i](keys::Seed& seed) {
        seed = seeds[i];
        return true;
      };
    };
    (void)find_place(
        parameters_, static_cast<std::int64_t>(begin_ + i), seed_from(narrow_seeds_),
        seed_from(wide_seeds_), [&](const keys::Seed& seed) { return used_.insert(seed); },
        places_[i]);
  }
  begin_ += count;
  return std::span<const Place>(places_).first(count);
}

}  // namespace countermark::marks
