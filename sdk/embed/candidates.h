// From logits to weighted candidates: docs/spec/countermark-1.md, section 6.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "countermark/error.h"
#include "countermark/logits.h"
#include "countermark/profile.h"
#include "countermark/token.h"
#include "embed/blocked_row.h"
#include "marks/candidate.h"

namespace countermark::embed {

using marks::Candidate;

/// Whether every option is in its range; a NaN is not.
bool is_valid(const SamplingOptions& options) noexcept;

/// The weight of a logit at a temperature above 0, 1 for the largest; in binary64, since float32
/// would merge logits that differ.
inline double weight_of(float logit, float largest, double temperature) noexcept {
  return std::exp((static_cast<double>(logit) - static_cast<double>(largest)) / temperature);
}

/// Room for one row, kept from row to row.
struct Scratch {
  std::vector<Candidate> candidates;
  std::vector<float> maxima, sorted_maxima;
  std::vector<TokenId> ids;
};

/// Sets `size` to the number of logits that count: one for each id of the tokenizer, all of them
/// without one. SizeMismatch or InvalidOption where they cannot be looked at.
ErrorCode row_size(Logits logits, const std::optional<TokenizerInfo>& tokenizer,
                   std::size_t& size) noexcept;

/// The first `size` logits as floats.
std::vector<float> as_floats(Logits logits, std::size_t size);

/// Fills `scratch.candidates` with what `options` (valid, temperature above 0) leaves of the row,
/// scaled so that the largest weight is 1. Returns InvalidLogits or NoCandidate, and then they are
/// empty. Looks at few tokens one by one unless nothing is truncated.
ErrorCode candidates_from_logits(const BlockedRow& row, const SamplingOptions& options,
                                 Scratch& scratch);

/// The same, by the definition: every weight, and all of them sorted for top-p. The law that the
/// other must obey, and its refuge where rounding could decide.
ErrorCode candidates_by_definition(const BlockedRow& row, const SamplingOptions& options,
                                   std::vector<Candidate>& candidates);

/// The largest logit, the lowest id among equals. Errors as above.
ErrorCode greedy_from_logits(const BlockedRow& row, Scratch& scratch, TokenId& token);

/// Fills `candidates` with the entries of weight above 0, scaled by a power of two where they are
/// so small that a quotient could overflow. Returns SizeMismatch, InvalidWeights, TokenOutOfRange,
/// DuplicateCandidate or NoCandidate, and then `candidates` is empty.
ErrorCode candidates_from_weights(std::span<const TokenId> ids, std::span<const double> weights,
                                  std::int64_t id_limit, std::vector<Candidate>& candidates);

}  // namespace countermark::embed
