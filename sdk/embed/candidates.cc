#include "embed/candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace countermark::embed {
namespace {

// Ids as std::size_t indices of a span and back.
constexpr TokenId as_id(std::size_t i) noexcept { return static_cast<TokenId>(i); }

struct Float32Row {
  const float* data;
  float operator[](std::size_t i) const noexcept { return data[i]; }
};

struct Float16Row {
  const std::uint16_t* data;
  // IEEE binary16: a sign, 5 bits of exponent, 10 of fraction. Every value is exact in float32.
  float operator[](std::size_t i) const noexcept {
    const int exponent = (data[i] >> 10) & 0x1F;
    const int fraction = data[i] & 0x3FF;
    float magnitude = 0.0F;
    if (exponent == 0x1F) {
      magnitude = fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : HUGE_VALF;
    } else {
      const int hidden = exponent != 0 ? 0x400 : 0;
      magnitude = std::ldexp(static_cast<float>(fraction + hidden), std::max(exponent, 1) - 25);
    }
    return (data[i] & 0x8000) != 0 ? -magnitude : magnitude;
  }
};

struct BFloat16Row {
  const std::uint16_t* data;
  float operator[](std::size_t i) const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(data[i]) << 16);
  }
};

/// Calls `body` with the row as its own type, so that the type is looked at once a row.
template <typename Body>
ErrorCode with_row(Logits logits, std::int64_t vocab_size, Body&& body) {
  if (static_cast<std::int64_t>(logits.size()) < vocab_size) return ErrorCode::SizeMismatch;
  const auto size = static_cast<std::size_t>(vocab_size);
  switch (logits.type()) {
    case Logits::Type::Float32:
      return body(Float32Row{static_cast<const float*>(logits.data())}, size);
    case Logits::Type::Float16:
      return body(Float16Row{static_cast<const std::uint16_t*>(logits.data())}, size);
    case Logits::Type::BFloat16:
      return body(BFloat16Row{static_cast<const std::uint16_t*>(logits.data())}, size);
  }
  return ErrorCode::InvalidOption;
}

/// The largest logit and its first position.
template <typename Row>
ErrorCode find_largest(const Row& row, std::size_t size, float& largest, std::size_t& where) {
  largest = -HUGE_VALF;
  where = size;
  for (std::size_t i = 0; i < size; ++i) {
    const float logit = row[i];
    if (!(logit < HUGE_VALF)) return ErrorCode::InvalidLogits;  // NaN fails every comparison
    if (logit > largest) {
      largest = logit;
      where = i;
    }
  }
  return where == size ? ErrorCode::NoCandidate : ErrorCode::Ok;
}

bool more_probable(const Candidate& a, const Candidate& b) noexcept {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

/// Keeps the k largest and all that tie with the last of them.
void keep_top_k(std::int64_t k, std::vector<Candidate>& candidates) {
  if (k == 0 || static_cast<std::size_t>(k) >= candidates.size()) return;
  const auto last = candidates.begin() + (k - 1);
  std::nth_element(candidates.begin(), last, candidates.end(), more_probable);
  const double least = last->weight;
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < least; });
}

/// Keeps, in order of probability, the fewest whose sum reaches top_p of the whole.
void keep_top_p(double top_p, std::vector<Candidate>& candidates) {
  if (top_p >= 1.0) return;
  std::sort(candidates.begin(), candidates.end(), more_probable);
  double total = 0.0;
  for (const Candidate& c : candidates) total += c.weight;
  double sum = 0.0;
  std::size_t kept = 0;
  while (kept < candidates.size() && !(sum >= top_p * total)) sum += candidates[kept++].weight;
  candidates.resize(kept);
}

/// Keeps what has at least min_p times the largest weight.
void keep_min_p(double min_p, std::vector<Candidate>& candidates) {
  double largest = 0.0;
  for (const Candidate& c : candidates) largest = std::max(largest, c.weight);
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < min_p * largest; });
}

ErrorCode check_candidates(std::span<const TokenId> ids, std::span<const double> weights,
                           std::int64_t id_limit) noexcept {
  if (ids.size() != weights.size()) return ErrorCode::SizeMismatch;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!(weights[i] >= 0.0 && weights[i] < HUGE_VAL)) return ErrorCode::InvalidWeights;
    if (weights[i] == 0.0) continue;
    if (!(ids[i] >= 0 && static_cast<std::int64_t>(ids[i]) < id_limit)) {
      return ErrorCode::TokenOutOfRange;
    }
  }
  return ErrorCode::Ok;
}

/// Weights are probabilities up to scale, but -ln U / w must not overflow, or ties of infinities
/// would decide. A power of two changes no other digit.
void scale_up_if_tiny(std::vector<Candidate>& candidates) {
  double largest = 0.0;
  for (const Candidate& c : candidates) largest = std::max(largest, c.weight);
  if (!(largest > 0.0 && largest < 0x1p-512)) return;
  const int exponent = -std::ilogb(largest);
  for (Candidate& c : candidates) c.weight = std::scalbn(c.weight, exponent);
}

bool has_duplicates(std::span<const Candidate> candidates) {
  const auto rising = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  const auto not_rising = [](const Candidate& a, const Candidate& b) { return a.token >= b.token; };
  if (std::adjacent_find(candidates.begin(), candidates.end(), not_rising) == candidates.end()) {
    return false;
  }
  std::vector<Candidate> sorted(candidates.begin(), candidates.end());
  std::sort(sorted.begin(), sorted.end(), rising);
  return std::adjacent_find(sorted.begin(), sorted.end(), not_rising) != sorted.end();
}

}  // namespace

bool is_valid(const SamplingOptions& options) noexcept {
  return options.temperature >= 0.0 && options.temperature < HUGE_VAL && options.top_k >= 0 &&
         options.top_p > 0.0 && options.top_p <= 1.0 && options.min_p >= 0.0 &&
         options.min_p <= 1.0;
}

ErrorCode candidates_from_logits(Logits logits, std::int64_t vocab_size,
                                 const SamplingOptions& options,
                                 std::vector<Candidate>& candidates) {
  candidates.clear();
  return with_row(logits, vocab_size, [&](const auto& row, std::size_t size) {
    float largest = 0.0F;
    std::size_t where = 0;
    const ErrorCode code = find_largest(row, size, largest, where);
    if (code != ErrorCode::Ok) return code;
    candidates.reserve(size);
    const double shift = largest;
    for (std::size_t i = 0; i < size; ++i) {
      // In binary64 throughout: float32 would merge logits that differ.
      const double weight = std::exp((static_cast<double>(row[i]) - shift) / options.temperature);
      if (weight > 0.0) candidates.push_back({as_id(i), weight});
    }
    keep_top_k(options.top_k, candidates);
    keep_top_p(options.top_p, candidates);
    keep_min_p(options.min_p, candidates);
    return ErrorCode::Ok;
  });
}

ErrorCode greedy_from_logits(Logits logits, std::int64_t vocab_size, TokenId& token) noexcept {
  return with_row(logits, vocab_size, [&](const auto& row, std::size_t size) {
    float largest = 0.0F;
    std::size_t where = 0;
    const ErrorCode code = find_largest(row, size, largest, where);
    if (code == ErrorCode::Ok) token = as_id(where);
    return code;
  });
}

ErrorCode candidates_from_weights(std::span<const TokenId> ids, std::span<const double> weights,
                                  std::int64_t id_limit, std::vector<Candidate>& candidates) {
  candidates.clear();
  const ErrorCode code = check_candidates(ids, weights, id_limit);
  if (code != ErrorCode::Ok) return code;
  candidates.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (weights[i] > 0.0) candidates.push_back({ids[i], weights[i]});
  }
  if (has_duplicates(candidates)) {
    candidates.clear();
    return ErrorCode::DuplicateCandidate;
  }
  scale_up_if_tiny(candidates);
  return candidates.empty() ? ErrorCode::NoCandidate : ErrorCode::Ok;
}

}  // namespace countermark::embed
