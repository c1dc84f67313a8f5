#include "marks/vllm_gumbel.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "base/bytes.h"
#include "base/json.h"
#include "marks/context_history.h"
#include "marks/parameters.h"
#include "prf/philox.h"
#include "stats/gamma_tail.h"
#include "stats/sum.h"

namespace countermark::marks {
namespace {

constexpr TokenId padding = -1;

enum class Scope { None, SingleTurn, All };

struct VllmParameters {
  std::size_t context_width;
  Scope deduplicate;
  std::optional<std::size_t> max_history;
  /// The probability of key B; none with one key.
  std::optional<double> alpha;
};

VllmParameters read(Parameters& reader, bool is_dual) {
  VllmParameters read = {};
  read.context_width = static_cast<std::size_t>(reader.integer("context_width", 4, 1, 64));
  const std::string scope = reader.choice("deduplicate_contexts", {"single_turn", "none", "all"});
  read.deduplicate = scope == "none"  ? Scope::None
                     : scope == "all" ? Scope::All
                                      : Scope::SingleTurn;
  const auto most =
      reader.integer_or_null("deduplicate_contexts_max_history", 8192, 1, std::int64_t{1} << 40);
  if (most) read.max_history = static_cast<std::size_t>(*most);
  if (is_dual) read.alpha = reader.number("alpha", 0.1, 0.0, 1.0);
  reader.fixed("context_of", "response");
  reader.fixed("padding", padding);
  reader.fixed("first_scored", 0);
  reader.fixed("scored_once", "context");
  if (is_dual) reader.fixed("alpha_of", "key B");
  return read;
}

/// The first 8 bytes, big-endian, of SHA-256(label, key big-endian).
std::uint64_t derived(std::string_view label, std::uint64_t key) {
  std::array<std::uint8_t, 13> input = {};
  std::copy(label.begin(), label.end(), input.begin());
  for (std::size_t i = 0; i < 8; ++i) {
    input[label.size() + i] = static_cast<std::uint8_t>(key >> (56 - 8 * i));
  }
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest = {};
  SHA256(input.data(), input.size(), digest.data());
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | digest[i];
  OPENSSL_cleanse(input.data(), input.size());
  OPENSSL_cleanse(digest.data(), digest.size());
  return value;
}

/// One key, or two: the second one unused.
using KeyPair = std::array<std::uint64_t, 2>;

KeyPair keys_of(const keys::Secret& secret, bool is_dual) {
  const std::uint64_t key = word_of(secret, 0);
  if (!is_dual) return {key, 0};
  return {derived("key_a", key), derived("key_b", key)};
}

/// Tokens behind a context of padding: the context of token i is what begins at i.
std::vector<TokenId> padded(std::span<const TokenId> tokens, std::size_t width) {
  std::vector<TokenId> all(width, padding);
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

class VllmWalk final : public EngineWalk {
 public:
  VllmWalk(const VllmParameters& parameters, const KeyPair& keys, prf::PhiloxMapping mapping,
           std::span<const TokenId> prompt)
      : parameters_(parameters), keys_(keys), mapping_(mapping) {
    const std::size_t width = parameters_.context_width;
    tokens_.assign(width, padding);
    if (parameters_.deduplicate == Scope::All) {
      joined_ = padded(prompt, width);
      for (std::size_t i = 0; i < prompt.size(); ++i) {
        history_.push(context_hash(std::span(joined_).subspan(i, width)));
      }
    }
    place();
  }
  std::unique_ptr<EngineWalk> clone() const override { return std::make_unique<VllmWalk>(*this); }

  void observe(TokenId token, bool /*was_marked*/) override {
    tokens_.push_back(token);
    if (!joined_.empty()) joined_.push_back(token);
    history_.push(hash_);
    place();
  }
  void rollback(std::size_t count) noexcept override {
    for (count = std::min(count, tokens().size()); count > 0; --count) {
      tokens_.pop_back();
      if (!joined_.empty()) joined_.pop_back();
      history_.pop();
    }
    place();
  }
  std::span<const TokenId> tokens() const noexcept override {
    return std::span(tokens_).subspan(parameters_.context_width);
  }

  bool is_marked(std::span<const Candidate> /*candidates*/) const override {
    if (parameters_.deduplicate == Scope::None) return true;
    if (parameters_.deduplicate == Scope::All && tokens().size() < parameters_.context_width) {
      return false;
    }
    return !history_.contains(hash_, parameters_.max_history.value_or(ContextHistory::unlimited));
  }
  std::optional<TokenId> select(std::span<const Candidate> candidates, double coin) const override {
    const bool is_b = parameters_.alpha && coin < *parameters_.alpha;
    return select_least(candidates, [&](TokenId token) {
      return -std::log(prf::philox_uniform(contexts_[is_b].word(token, mapping_)));
    });
  }

 private:
  void place() {
    const auto context = std::span<const TokenId>(tokens_).last(parameters_.context_width);
    hash_ = context_hash(joined_.empty()
                             ? context
                             : std::span<const TokenId>(joined_).last(parameters_.context_width));
    contexts_[0] = prf::PhiloxContext(keys_[0], context);
    if (parameters_.alpha) contexts_[1] = prf::PhiloxContext(keys_[1], context);
  }

  VllmParameters parameters_;
  KeyPair keys_;
  prf::PhiloxMapping mapping_;
  /// Behind their padding.
  std::vector<TokenId> tokens_;
  /// Where repeats in the prompt count: padding, prompt and response.
  std::vector<TokenId> joined_;
  ContextHistory history_;
  /// Of what is looked for in the history.
  std::uint64_t hash_ = 0;
  std::array<prf::PhiloxContext, 2> contexts_;
};

class VllmGumbel final : public EngineMark {
 public:
  VllmGumbel(const keys::Secret& secret, const VllmParameters& parameters,
             prf::PhiloxMapping mapping)
      : secret_(secret), parameters_(parameters), mapping_(mapping) {
    require_words(secret, 1, 1);
  }

  std::size_t width() const noexcept override { return parameters_.context_width; }
  bool selects() const noexcept override { return !parameters_.alpha; }

  TextScores score(std::optional<std::span<const TokenId>> /*prompt*/,
                   std::span<const TokenId> tokens) const override {
    const bool is_dual = parameters_.alpha.has_value();
    const double alpha = parameters_.alpha.value_or(0.0);
    const KeyPair keys = keys_of(secret_, is_dual);
    TextScores result;
    result.rests.assign(tokens.size(), not_scored);
    result.draws.resize(tokens.size());
    if (is_dual) result.scores.assign(tokens.size(), not_scored);
    std::unordered_set<std::uint64_t> seen;
    stats::Sum sum;
    const std::vector<TokenId> all = padded(tokens, parameters_.context_width);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto context = std::span(all).subspan(i, parameters_.context_width);
      result.draws[i] = context_hash(context);
      if (!seen.insert(result.draws[i]).second) continue;
      const auto rest_under = [&](std::uint64_t key) {
        const prf::PhiloxContext hashed(key, context);
        return 1.0 - prf::philox_uniform(hashed.word(tokens[i], mapping_));
      };
      result.rests[i] = rest_under(keys[0]);
      if (is_dual) {
        result.scores[i] =
            (1.0 - alpha) * -std::log(result.rests[i]) + alpha * -std::log(rest_under(keys[1]));
        result.rests[i] = stats::pair_tail(1.0 - alpha, alpha, result.scores[i]);
      }
      sum.add(is_dual ? result.scores[i] : -std::log(result.rests[i]));
    }
    if (is_dual) result.null = stats::PairNull{1.0 - alpha, alpha};
    result.engine = engine_number(seen.size(), sum.value());
    return result;
  }

  bool draws_pairs() const noexcept override { return !parameters_.alpha; }
  std::uint64_t rests_after(std::span<const TokenId> context, std::span<const TokenId> tokens,
                            std::span<double> rests) const override {
    const prf::PhiloxContext hashed(word_of(secret_, 0), context);
    const std::uint64_t drawn = context_hash(context);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      rests[i] = rest_within(hashed.word(tokens[i], mapping_) >> 8, 0x1p24, drawn, tokens[i]);
    }
    return drawn;
  }

  std::unique_ptr<EngineWalk> walk(std::span<const TokenId> prompt) const override {
    return std::make_unique<VllmWalk>(parameters_, keys_of(secret_, parameters_.alpha.has_value()),
                                      mapping_, prompt);
  }
  std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const override {
    return std::make_shared<VllmGumbel>(secret, parameters_, mapping_);
  }

 private:
  EngineResult engine_number(std::size_t n, double sum) const {
    const auto count = static_cast<double>(n);
    if (!parameters_.alpha) {
      return {n, sum, stats::log10_gamma_tail(count, sum), "vLLM's own p-value, the same test"};
    }
    const double alpha = *parameters_.alpha;
    const double v = (1.0 - alpha) * (1.0 - alpha) + alpha * alpha;
    const double log10_p = stats::log10_gamma_tail(count / v, sum / v);
    return {n, sum, log10_p,
            "vLLM fits a Gamma distribution to the weighted sum of two exponentials, whose tail is "
            "longer: its p-value is too small far out"};
  }

  keys::Secret secret_;
  VllmParameters parameters_;
  prf::PhiloxMapping mapping_;
};

}  // namespace

void complete_vllm_gumbel(Parameters& parameters) { read(parameters, false); }

void complete_vllm_dual_gumbel(Parameters& parameters) { read(parameters, true); }

std::shared_ptr<const EngineMark> make_vllm_gumbel_0(const keys::Secret& key,
                                                     Parameters& parameters) {
  return std::make_shared<VllmGumbel>(key, read(parameters, false),
                                      prf::PhiloxMapping::Development);
}

std::shared_ptr<const EngineMark> make_vllm_gumbel_1(const keys::Secret& key,
                                                     Parameters& parameters) {
  return std::make_shared<VllmGumbel>(key, read(parameters, false), prf::PhiloxMapping::Lanes);
}

std::shared_ptr<const EngineMark> make_vllm_dual_gumbel_1(const keys::Secret& key,
                                                          Parameters& parameters) {
  return std::make_shared<VllmGumbel>(key, read(parameters, true), prf::PhiloxMapping::Lanes);
}

}  // namespace countermark::marks
