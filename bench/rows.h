// What the benchmarks share: logits, keys, texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "countermark/countermark.h"

namespace countermark::bench {

inline constexpr std::size_t llama_vocab = 128256;

/// Rows of a batch: normal logits of spread 3, whose entropy is that of a spoken sentence's start
/// more than of a certain model. A decoding step reads each row once: `next` walks over all rows,
/// so that a row has to come from memory ("fresh") if there are many and from the cache if there is
/// one.
class Rows {
 public:
  Rows(std::size_t count, std::size_t size) : size_(size), logits_(count * size) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0F, 3.0F);
    for (float& logit : logits_) logit = normal(random);
  }

  std::size_t count() const { return logits_.size() / size_; }
  std::span<const float> operator[](std::size_t i) const {
    return std::span(logits_).subspan(i * size_, size_);
  }
  std::span<float> operator[](std::size_t i) {
    return std::span(logits_).subspan(i * size_, size_);
  }
  std::span<const float> next() {
    at_ = (at_ + 1) % count();
    return (*this)[at_];
  }

 private:
  std::size_t size_;
  std::vector<float> logits_;
  std::size_t at_ = 0;
};

inline KeyRing ring(std::size_t vocab_size) {
  KeyRing ring = KeyRing::generate();
  ProfileOptions options;
  options.tokenizer =
      TokenizerInfo{"bench", static_cast<std::int64_t>(vocab_size), std::string(32, '0')};
  ring.create_profile("bench", options);
  return ring;
}

inline std::vector<TokenId> random_tokens(std::size_t size, std::size_t vocab_size) {
  std::mt19937_64 random(7);
  std::vector<TokenId> tokens(size);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocab_size);
  return tokens;
}

}  // namespace countermark::bench
