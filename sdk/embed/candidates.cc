#include "embed/candidates.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

#include "kernels/rows.h"

namespace countermark::embed {
namespace {

/// Logits below this are surely below `weight` times the largest one's weight; at least that of the
/// smallest finite float, so that -inf is never a candidate.
float logit_floor(double weight, float largest, double temperature) noexcept {
  const double log = std::log(weight);
  const double logit = static_cast<double>(largest) + temperature * log;
  // Far more than rounding: of the law's quotient and exponential, and of this.
  const double slack = 1e-9 * (temperature * (1.0 - log) + std::abs(static_cast<double>(largest)));
  constexpr float lowest = std::numeric_limits<float>::lowest();
  const double floor = logit - slack;
  if (!(floor > static_cast<double>(lowest))) return lowest;
  return std::max(lowest, std::nextafter(static_cast<float>(floor), -HUGE_VALF));
}

ErrorCode survey(const BlockedRow& row, std::vector<float>& maxima, float& largest) {
  maxima.resize(row.block_count());
  kernels::Seen seen;
  row.survey(maxima, seen);
  largest = seen.largest;
  return code_of(seen);
}

/// The candidates among `ids`.
void weigh(const BlockedRow& row, std::span<const TokenId> ids, float largest, double temperature,
           std::vector<Candidate>& candidates) {
  candidates.clear();
  kernels::with_row(row.data(), row.type(), [&](const auto& logits) {
    for (const TokenId id : ids) {
      const double weight = weight_of(logits[static_cast<std::size_t>(id)], largest, temperature);
      if (weight > 0.0) candidates.push_back({id, weight});
    }
  });
}

/// The sum of all weights, to the rounding of as many additions.
double exact_total(const BlockedRow& row, float largest, double temperature) {
  return kernels::with_row(row.data(), row.type(), [&](const auto& logits) {
    double total = 0.0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      total += weight_of(logits[i], largest, temperature);
    }
    return total;
  });
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

/// Moves the fewest most probable whose sum reaches `target` to the front, and returns how many;
/// all of them where even the whole does not. `before` and `through` are the sums without and with
/// the last of these. Takes O(size): a quickselect by sums.
std::size_t select_nucleus(double target, std::span<Candidate> candidates, double& before,
                           double& through) {
  before = 0.0;
  std::size_t begin = 0, end = candidates.size();
  while (begin < end) {
    Candidate& last = candidates[end - 1];
    std::swap(candidates[begin + (end - begin) / 2], last);
    std::size_t border = begin;
    double sum = before;
    for (std::size_t i = begin; i + 1 < end; ++i) {
      if (!more_probable(candidates[i], last)) continue;
      sum += candidates[i].weight;
      std::swap(candidates[i], candidates[border++]);
    }
    if (sum >= target) {
      end = border;
      continue;
    }
    std::swap(candidates[border], last);
    begin = border + 1;
    before = sum;
    through = sum + candidates[border].weight;
    if (through >= target) return begin;
    before = through;
  }
  through = before;
  return candidates.size();
}

/// keep_top_p() where `candidates` hold the nucleus and the weights of the whole row add up to
/// `total`, give or take `error`. False, and nothing is dropped, where that does not decide.
bool keep_nucleus(double top_p, double total, double error, std::vector<Candidate>& candidates) {
  double before = 0.0, through = 0.0;
  const std::size_t kept = select_nucleus(top_p * total, candidates, before, through);
  if (!(before < top_p * (total - error) && through >= top_p * (total + error))) return false;
  candidates.resize(kept);
  return true;
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

ErrorCode row_size(Logits logits, const std::optional<TokenizerInfo>& tokenizer,
                   std::size_t& size) noexcept {
  size = tokenizer ? static_cast<std::size_t>(tokenizer->vocab_size) : logits.size();
  if (logits.size() < size) return ErrorCode::SizeMismatch;
  switch (logits.type()) {
    case Logits::Type::Float32:
    case Logits::Type::Float16:
    case Logits::Type::BFloat16:
      return ErrorCode::Ok;
  }
  return ErrorCode::InvalidOption;
}

std::vector<float> as_floats(Logits logits, std::size_t size) {
  std::vector<float> floats(size);
  kernels::with_row(logits.data(), logits.type(), [&](const auto& row) {
    for (std::size_t i = 0; i < size; ++i) floats[i] = row[i];
  });
  return floats;
}

ErrorCode candidates_by_definition(const BlockedRow& row, const SamplingOptions& options,
                                   std::vector<Candidate>& candidates) {
  candidates.clear();
  return kernels::with_row(row.data(), row.type(), [&](const auto& logits) {
    kernels::Seen seen;
    for (std::size_t i = 0; i < row.size(); ++i) {
      seen.has_nan |= std::isnan(logits[i]);
      seen.largest = std::max(seen.largest, logits[i]);
    }
    const ErrorCode code = code_of(seen);
    if (code != ErrorCode::Ok) return code;
    candidates.reserve(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double weight = weight_of(logits[i], seen.largest, options.temperature);
      if (weight > 0.0) candidates.push_back({static_cast<TokenId>(i), weight});
    }
    keep_top_k(options.top_k, candidates);
    keep_top_p(options.top_p, candidates);
    keep_min_p(options.min_p, candidates);
    return ErrorCode::Ok;
  });
}

ErrorCode candidates_from_logits(const BlockedRow& row, const SamplingOptions& options,
                                 Scratch& scratch) {
  std::vector<Candidate>& candidates = scratch.candidates;
  std::vector<float>& maxima = scratch.maxima;
  const bool has_top_k = options.top_k > 0 && static_cast<std::size_t>(options.top_k) < row.size();
  const bool has_top_p = options.top_p < 1.0;
  const double temperature = options.temperature;
  // Beyond these, floats hold no weights; so many candidates are no truncation.
  const bool is_ordinary = temperature > 0x1p-40 && temperature < 0x1p40;
  const bool is_few =
      !has_top_k || static_cast<std::size_t>(options.top_k) <= row.block_count() / 2;
  if (!(has_top_k || has_top_p || options.min_p > 0.0) || !is_ordinary || !is_few) {
    return candidates_by_definition(row, options, candidates);
  }
  candidates.clear();
  // At once what any row of this size can need, so that no later one takes memory.
  candidates.reserve(row.size());
  float largest = 0.0F;
  const ErrorCode code = survey(row, maxima, largest);
  if (code != ErrorCode::Ok) return code;

  if (has_top_k) {
    // As many tokens as there are blocks with such a maximum reach it.
    std::vector<float>& sorted_maxima = scratch.sorted_maxima;
    sorted_maxima = maxima;
    const auto last = sorted_maxima.begin() + (options.top_k - 1);
    std::nth_element(sorted_maxima.begin(), last, sorted_maxima.end(), std::greater<>());
    const double weight = weight_of(*last, largest, temperature);
    const float floor = logit_floor(weight, largest, temperature);
    weigh(row, row.collect(maxima, floor, scratch.ids), largest, temperature, candidates);
    keep_top_k(options.top_k, candidates);
    keep_top_p(options.top_p, candidates);
  } else if (has_top_p) {
    const auto scale = static_cast<float>(std::numbers::log2e / temperature);
    const double total = row.sum(largest, scale).weights;
    const auto size = static_cast<double>(row.size());
    // Before the last of the nucleus 1 - top_p of the whole was missing, and each token after it
    // has at most its weight.
    const double least = (1.0 - options.top_p) * total * (1.0 - 2 * kernels::sums_error) / size;
    const float floor = logit_floor(least, largest, temperature);
    weigh(row, row.collect(maxima, floor, scratch.ids), largest, temperature, candidates);
    const auto decides = [&](double whole, double error) {
      const double rounding = size * 0x1p-50 * whole;
      return keep_nucleus(options.top_p, whole, error + rounding, candidates);
    };
    const auto decides_by_rest = [&] {
      // Of the whole, most is known in binary64; the rest is small, and so is its error.
      double whole = 0.0;
      for (const Candidate& c : candidates) whole += c.weight;
      const double rest = row.sum(largest, scale, floor).weights;
      return decides(whole + rest, kernels::sums_error * rest);
    };
    if (!decides(total, kernels::sums_error * total) && !decides_by_rest() &&
        !decides(exact_total(row, largest, temperature), 0.0)) {
      return candidates_by_definition(row, options, candidates);
    }
  } else {
    const float floor = logit_floor(options.min_p, largest, temperature);
    weigh(row, row.collect(maxima, floor, scratch.ids), largest, temperature, candidates);
  }
  keep_min_p(options.min_p, candidates);
  return ErrorCode::Ok;
}

ErrorCode greedy_from_logits(const BlockedRow& row, Scratch& scratch, TokenId& token) {
  float largest = 0.0F;
  const ErrorCode code = survey(row, scratch.maxima, largest);
  if (code != ErrorCode::Ok) return code;
  token = row.collect(scratch.maxima, largest, scratch.ids).front();
  return ErrorCode::Ok;
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
