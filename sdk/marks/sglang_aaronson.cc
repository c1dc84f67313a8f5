#include "marks/sglang_aaronson.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>

#include "base/json.h"
#include "marks/context_history.h"
#include "marks/parameters.h"
#include "prf/murmur3.h"
#include "stats/gamma_tail.h"
#include "stats/sum.h"

namespace countermark::marks {
namespace {

/// Contexts that a request marks, and that the detector looks at.
constexpr std::size_t most_contexts = 4096;

struct SglangParameters {
  std::size_t context_window;
  /// Above it in the truncated distribution, the likeliest token leaves a position unmarked.
  double max_probability;
  /// The probability of key A; none with one key.
  std::optional<double> mixing;
};

SglangParameters read(Parameters& reader, bool is_dual) {
  SglangParameters read = {};
  read.context_window = static_cast<std::size_t>(reader.integer("context_window", 4, 1, 64));
  read.max_probability = reader.number("max_probability", 1.0, 0.0, 1.0);
  if (is_dual) read.mixing = reader.number("mixing_probability", 0.5, 0.0, 1.0);
  reader.fixed("context_of", "prompt and response");
  reader.fixed("padding", nullptr);
  reader.fixed("first_scored", "context_window, or 1 with the prompt");
  reader.fixed("scored_once", "context");
  reader.fixed("most_contexts", most_contexts);
  if (is_dual) reader.fixed("mixing_probability_of", "key A");
  return read;
}

std::uint32_t hash_of(std::span<const TokenId> context) noexcept {
  prf::Murmur3 hash;
  for (const TokenId token : context) hash.add(static_cast<std::uint32_t>(token));
  return hash.value();
}

std::uint32_t word_of(std::uint64_t key, std::uint32_t context, TokenId token) noexcept {
  return prf::Murmur3().add(key).add(context).add(static_cast<std::uint32_t>(token)).value();
}

/// U and 1 - U are (word + 1/2) 2^-32.
double uniform(std::uint32_t word) noexcept { return (static_cast<double>(word) + 0.5) * 0x1p-32; }
double one_minus_uniform(std::uint32_t word) noexcept { return uniform(0xFFFFFFFF - word); }

struct SglangKeys {
  std::uint64_t a = 0, b = 0;
  /// Of 2^32 coins, how many mean key A; all of them with one key.
  std::uint64_t share_of_a = std::uint64_t{1} << 32;

  SglangKeys(const keys::Secret& secret, const SglangParameters& parameters)
      : a(marks::word_of(secret, 0)) {
    if (!parameters.mixing) return;
    b = marks::word_of(secret, 1);
    share_of_a = static_cast<std::uint64_t>(*parameters.mixing * 0x1p32);
  }
  /// The coin is a hash too: whoever reads the text can toss it again.
  std::uint64_t of(std::uint32_t context) const noexcept {
    if (share_of_a == std::uint64_t{1} << 32) return a;
    return prf::Murmur3().add(a).add(b).add(context).value() < share_of_a ? a : b;
  }
};

/// The tokens before position i of all, as many as there are and at most `window`.
std::span<const TokenId> context_at(std::span<const TokenId> all, std::size_t i,
                                    std::size_t window) noexcept {
  const std::size_t count = std::min(i, window);
  return all.subspan(i - count, count);
}

class SglangWalk final : public EngineWalk {
 public:
  SglangWalk(const SglangParameters& parameters, const SglangKeys& keys,
             std::span<const TokenId> prompt)
      : parameters_(parameters),
        keys_(keys),
        all_(prompt.begin(), prompt.end()),
        prompt_(prompt.size()) {
    place();
  }
  std::unique_ptr<EngineWalk> clone() const override { return std::make_unique<SglangWalk>(*this); }

  void observe(TokenId token, bool was_marked) override {
    all_.push_back(token);
    was_marked_.push_back(was_marked);
    // The engine remembers the 32 bits, and of marked positions alone.
    if (was_marked) history_.push(context_);
    place();
  }
  void rollback(std::size_t count) noexcept override {
    for (count = std::min(count, tokens().size()); count > 0; --count) {
      all_.pop_back();
      if (was_marked_.back()) history_.pop();
      was_marked_.pop_back();
    }
    place();
  }
  std::span<const TokenId> tokens() const noexcept override {
    return std::span(all_).subspan(prompt_);
  }

  bool is_marked(std::span<const Candidate> candidates) const override {
    if (all_.empty() || history_.size() >= most_contexts || history_.contains(context_)) {
      return false;
    }
    if (parameters_.max_probability >= 1.0) return true;
    double total = 0.0, largest = 0.0;
    for (const Candidate& c : candidates) {
      total += c.weight;
      largest = std::max(largest, c.weight);
    }
    return largest <= parameters_.max_probability * total;
  }
  std::optional<TokenId> select(std::span<const Candidate> candidates,
                                double /*coin*/) const override {
    return select_least(candidates, [&](TokenId token) {
      const std::uint32_t word = word_of(key_, context_, token);
      return word >> 31 != 0 ? -std::log1p(-one_minus_uniform(word)) : -std::log(uniform(word));
    });
  }

 private:
  void place() noexcept {
    context_ = hash_of(context_at(all_, all_.size(), parameters_.context_window));
    key_ = keys_.of(context_);
  }

  SglangParameters parameters_;
  SglangKeys keys_;
  std::vector<TokenId> all_;
  std::size_t prompt_;
  std::vector<bool> was_marked_;
  ContextHistory history_;
  std::uint32_t context_ = 0;
  std::uint64_t key_ = 0;
};

class SglangAaronson final : public EngineMark {
 public:
  SglangAaronson(const keys::Secret& secret, const SglangParameters& parameters)
      : secret_(secret), parameters_(parameters) {
    const std::size_t words = parameters.mixing ? 2 : 1;
    require_words(secret, words, words);
  }

  std::size_t width() const noexcept override { return parameters_.context_window; }
  bool selects() const noexcept override { return true; }

  TextScores score(std::optional<std::span<const TokenId>> prompt,
                   std::span<const TokenId> tokens) const override {
    const SglangKeys keys(secret_, parameters_);
    std::vector<TokenId> all;
    if (prompt) all.assign(prompt->begin(), prompt->end());
    const std::size_t begin = all.size();
    all.insert(all.end(), tokens.begin(), tokens.end());
    TextScores result;
    result.rests.assign(tokens.size(), not_scored);
    result.draws.resize(tokens.size());
    std::unordered_set<std::uint64_t> seen;
    stats::Sum sum;
    // The engine takes an empty prompt for one that is not known.
    const std::size_t engine_least = begin == 0 ? parameters_.context_window : 1;
    std::size_t engine_scored = 0;
    // A short context is known to be whole only where the prompt is there to begin it.
    const std::size_t least = prompt ? 1 : parameters_.context_window;
    for (std::size_t i = std::max(begin, least); i < all.size(); ++i) {
      const auto context = context_at(all, i, parameters_.context_window);
      result.draws[i - begin] = context_hash(context);
      if (!seen.insert(result.draws[i - begin]).second) continue;
      const bool is_within = seen.size() <= most_contexts;
      if (!is_within && engine_scored == most_contexts) break;
      const std::uint32_t hash = hash_of(context);
      const double rest = one_minus_uniform(word_of(keys.of(hash), hash, all[i]));
      if (is_within) result.rests[i - begin] = rest;
      if (i < engine_least || engine_scored == most_contexts) continue;
      ++engine_scored;
      sum.add(-std::log(rest));
    }
    result.engine = {engine_scored, sum.value(),
                     stats::log10_gamma_tail(static_cast<double>(engine_scored), sum.value()),
                     parameters_.mixing
                         ? "SGLang's combined p-value, the same test; it reports one for each key "
                           "too, and does not pay for three"
                         : "SGLang's own p-value, the same test"};
    return result;
  }

  bool draws_pairs() const noexcept override { return true; }
  std::uint64_t rests_after(std::span<const TokenId> context, std::span<const TokenId> tokens,
                            std::span<double> rests) const override {
    const std::uint32_t hash = hash_of(context);
    const std::uint64_t key = SglangKeys(secret_, parameters_).of(hash);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      rests[i] = rest_within(word_of(key, hash, tokens[i]), 0x1p32, hash, tokens[i]);
    }
    return hash;
  }

  std::unique_ptr<EngineWalk> walk(std::span<const TokenId> prompt) const override {
    return std::make_unique<SglangWalk>(parameters_, SglangKeys(secret_, parameters_), prompt);
  }
  std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const override {
    return std::make_shared<SglangAaronson>(secret, parameters_);
  }

 private:
  keys::Secret secret_;
  SglangParameters parameters_;
};

}  // namespace

void complete_sglang_aaronson(Parameters& parameters) { read(parameters, false); }

void complete_sglang_aaronson_dual(Parameters& parameters) { read(parameters, true); }

std::shared_ptr<const EngineMark> make_sglang_aaronson_1(const keys::Secret& key,
                                                         Parameters& parameters) {
  return std::make_shared<SglangAaronson>(key, read(parameters, false));
}

std::shared_ptr<const EngineMark> make_sglang_aaronson_dual_1(const keys::Secret& key,
                                                              Parameters& parameters) {
  return std::make_shared<SglangAaronson>(key, read(parameters, true));
}

}  // namespace countermark::marks
