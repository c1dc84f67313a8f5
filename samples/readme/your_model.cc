// Stands for the reader's model in the README's example: logits that depend on the response so far.
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "countermark/token.h"

std::vector<float> your_model(std::span<const countermark::TokenId> response);

std::vector<float> your_model(std::span<const countermark::TokenId> response) {
  std::mt19937 random(static_cast<std::uint32_t>(response.empty() ? 0 : response.back() + 1));
  std::normal_distribution<float> normal(0.0F, 2.0F);
  std::vector<float> logits(1000);
  for (float& logit : logits) logit = normal(random);
  return logits;
}
