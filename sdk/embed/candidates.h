// From logits to weighted candidates: docs/spec/countermark-1.md, section 6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "countermark/error.h"
#include "countermark/logits.h"
#include "countermark/token.h"

namespace countermark::embed {

struct Candidate {
  TokenId token;
  /// Probability up to scale; more than 0.
  double weight;
};

/// Whether every option is in its range; a NaN is not.
bool is_valid(const SamplingOptions& options) noexcept;

/// Fills `candidates` with what `options` (valid, temperature above 0) leaves of the first
/// `vocab_size` logits, scaled so that the largest weight is 1. Returns SizeMismatch, InvalidLogits
/// or NoCandidate, and then `candidates` is empty.
ErrorCode candidates_from_logits(Logits logits, std::int64_t vocab_size,
                                 const SamplingOptions& options,
                                 std::vector<Candidate>& candidates);

/// The largest of the first `vocab_size` logits, the lowest id among equals. Errors as above.
ErrorCode greedy_from_logits(Logits logits, std::int64_t vocab_size, TokenId& token) noexcept;

/// Fills `candidates` with the entries of weight above 0, scaled by a power of two where they are
/// so small that a quotient could overflow. Returns SizeMismatch, InvalidWeights, TokenOutOfRange,
/// DuplicateCandidate or NoCandidate, and then `candidates` is empty.
ErrorCode candidates_from_weights(std::span<const TokenId> ids, std::span<const double> weights,
                                  std::int64_t id_limit, std::vector<Candidate>& candidates);

}  // namespace countermark::embed
