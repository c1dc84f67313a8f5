#include "marks/meta_textseal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>

#include "base/json.h"
#include "marks/context_history.h"
#include "marks/parameters.h"
#include "prf/textseal_hash.h"
#include "stats/gamma_tail.h"
#include "stats/sum.h"

namespace countermark::marks {
namespace {

constexpr TokenId padding = 0;

enum class Revision { One, Two };

struct TextSealParameters {
  Revision revision;
  std::size_t ngram;
  /// Whether a context counts once, or each context with each token.
  bool counts_contexts;
  /// Of key A, where there is a key B.
  double mixing_alpha;
};

TextSealParameters read(Parameters& reader, Revision revision) {
  TextSealParameters read = {};
  read.revision = revision;
  read.ngram = static_cast<std::size_t>(
      reader.integer("ngram", 1, 1, static_cast<std::int64_t>(prf::textseal_widest)));
  read.mixing_alpha = reader.number("mixing_alpha", 0.5, 0.0, 1.0);
  // "v1" scores a context once, "v2" a context with a token.
  const std::string scoring = revision == Revision::One
                                  ? reader.choice("scoring_method", {"v1", "v2"})
                                  : reader.choice("scoring_method", {"v2", "v1"});
  read.counts_contexts = scoring == "v1";
  reader.fixed("context_of", "prompt and response");
  reader.fixed("padding", padding);
  reader.fixed("first_scored", "ngram + 1");
  reader.fixed("mixing_alpha_of", "key A");
  return read;
}

struct TextSealKeys {
  std::int64_t a = 0;
  std::optional<std::int64_t> b = {};

  explicit TextSealKeys(const keys::Secret& secret)
      : a(static_cast<std::int64_t>(word_of(secret, 0))) {
    if (words_of(secret) > 1) b = static_cast<std::int64_t>(word_of(secret, 1));
  }
};

/// U as the engine has it: a float below 1, 0 among its values.
float uniform(std::int64_t hash) noexcept {
  return static_cast<float>(hash) / static_cast<float>(prf::textseal_values);
}

/// P(hash >= h), which is 1 - U but for the rounding of floats.
double rest_of(std::int64_t hash) noexcept {
  return static_cast<double>(prf::textseal_values - hash) /
         static_cast<double>(prf::textseal_values);
}

/// The first revision: the largest u^(1/p) in floats, of which many underflow to the same value;
/// the likeliest among equals.
template <typename UOf>
TokenId largest_power(std::span<const Candidate> candidates, UOf&& u_of) {
  double total = 0.0;
  for (const Candidate& c : candidates) total += c.weight;
  Candidate best = candidates.front();
  float best_power = -1.0F;
  for (const Candidate& c : candidates) {
    const auto p = static_cast<float>(c.weight / total);
    const float power = std::pow(u_of(c.token), 1.0F / p);
    const bool is_likelier =
        c.weight > best.weight || (c.weight == best.weight && c.token < best.token);
    if (power > best_power || (power == best_power && is_likelier)) {
      best = c;
      best_power = power;
    }
  }
  return best.token;
}

class TextSealWalk final : public EngineWalk {
 public:
  TextSealWalk(const TextSealParameters& parameters, const TextSealKeys& keys,
               std::span<const TokenId> prompt)
      : parameters_(parameters),
        keys_(keys),
        all_(parameters.ngram, padding),
        begin_(parameters.ngram + prompt.size()) {
    all_.insert(all_.end(), prompt.begin(), prompt.end());
  }
  std::unique_ptr<EngineWalk> clone() const override {
    return std::make_unique<TextSealWalk>(*this);
  }

  void observe(TokenId token, bool /*was_marked*/) override { all_.push_back(token); }
  void rollback(std::size_t count) noexcept override {
    all_.resize(all_.size() - std::min(count, all_.size() - begin_));
  }
  std::span<const TokenId> tokens() const noexcept override {
    return std::span(all_).subspan(begin_);
  }

  bool is_marked(std::span<const Candidate> /*candidates*/) const override { return true; }
  std::optional<TokenId> select(std::span<const Candidate> candidates, double coin) const override {
    const std::int64_t key = keys_.b && coin >= parameters_.mixing_alpha ? *keys_.b : keys_.a;
    auto context = std::span<const TokenId>(all_).last(parameters_.ngram);
    // The first revision's slice is empty where it would begin before the text.
    if (parameters_.revision == Revision::One && all_.size() < 2 * parameters_.ngram) {
      context = std::span<const TokenId>(all_).first(parameters_.ngram);
    }
    const auto u_of = [&](TokenId token) {
      return uniform(prf::textseal_hash(key, context, token));
    };
    if (parameters_.revision == Revision::One) return largest_power(candidates, u_of);
    // 1e-30 keeps the engine's logarithm from 0.
    return select_least(candidates, [&](TokenId token) {
      return -std::log(static_cast<double>(u_of(token)) + 1e-30);
    });
  }

 private:
  TextSealParameters parameters_;
  TextSealKeys keys_;
  /// Padding, prompt and response; where the response begins.
  std::vector<TokenId> all_;
  std::size_t begin_;
};

class TextSeal final : public EngineMark {
 public:
  TextSeal(const keys::Secret& secret, const TextSealParameters& parameters)
      : secret_(secret), parameters_(parameters) {
    require_words(secret, 1, parameters.revision == Revision::One ? 1 : 2);
    require_distinct_words(secret);
  }

  std::size_t width() const noexcept override { return parameters_.ngram; }
  bool selects() const noexcept override { return words_of(secret_) == 1; }

  TextScores score(std::optional<std::span<const TokenId>> /*prompt*/,
                   std::span<const TokenId> tokens) const override {
    const TextSealKeys keys(secret_);
    const double alpha = parameters_.mixing_alpha;
    const std::size_t width = parameters_.ngram;
    TextScores result;
    result.rests.assign(tokens.size(), not_scored);
    result.draws.resize(tokens.size());
    if (keys.b) {
      result.scores.assign(tokens.size(), not_scored);
      result.null = stats::PairNull{alpha, 1.0 - alpha};
    }
    std::unordered_set<std::uint64_t> seen;
    stats::Sum engine_sum;
    // The engine leaves out the token of the first whole context.
    for (std::size_t i = width + 1; i < tokens.size(); ++i) {
      const auto context = tokens.subspan(i - width, width);
      const auto once =
          parameters_.counts_contexts ? context : tokens.subspan(i - width, width + 1);
      result.draws[i] = context_hash(once);
      if (!seen.insert(result.draws[i]).second) continue;
      const std::int64_t of_a = prf::textseal_hash(keys.a, context, tokens[i]);
      // Floats, as the engine has them.
      double engine_score = -std::log(1.0F - uniform(of_a));
      result.rests[i] = rest_of(of_a);
      if (keys.b) {
        const std::int64_t of_b = prf::textseal_hash(*keys.b, context, tokens[i]);
        engine_score = alpha * engine_score + (1.0 - alpha) * -std::log(1.0F - uniform(of_b));
        result.scores[i] =
            alpha * -std::log(rest_of(of_a)) + (1.0 - alpha) * -std::log(rest_of(of_b));
        result.rests[i] = stats::pair_tail(alpha, 1.0 - alpha, result.scores[i]);
      }
      engine_sum.add(engine_score);
    }
    result.engine = engine_number(seen.size(), engine_sum.value(), keys.b.has_value());
    return result;
  }

  std::unique_ptr<EngineWalk> walk(std::span<const TokenId> prompt) const override {
    return std::make_unique<TextSealWalk>(parameters_, TextSealKeys(secret_), prompt);
  }
  std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const override {
    return std::make_shared<TextSeal>(secret, parameters_);
  }

 private:
  EngineResult engine_number(std::size_t n, double sum, bool is_dual) const {
    const double alpha = parameters_.mixing_alpha;
    const double v = is_dual ? alpha * alpha + (1.0 - alpha) * (1.0 - alpha) : 1.0;
    const double log10_p = stats::log10_gamma_tail(static_cast<double>(n) / v, sum / v);
    if (is_dual && alpha != 0.5) {
      return {n, sum, log10_p,
              "TextSeal's p-value of the sum, which fits a Gamma distribution to a weighted sum of "
              "two exponentials, whose tail is longer"};
    }
    return {n, sum, log10_p,
            "TextSeal's p-value of the sum, the same test in floats; it reports the smaller of "
            "two and does not pay for both"};
  }

  keys::Secret secret_;
  TextSealParameters parameters_;
};

}  // namespace

void complete_meta_textseal_1(Parameters& parameters) { read(parameters, Revision::One); }

void complete_meta_textseal_2(Parameters& parameters) { read(parameters, Revision::Two); }

std::shared_ptr<const EngineMark> make_meta_textseal_1(const keys::Secret& key,
                                                       Parameters& parameters) {
  return std::make_shared<TextSeal>(key, read(parameters, Revision::One));
}

std::shared_ptr<const EngineMark> make_meta_textseal_2(const keys::Secret& key,
                                                       Parameters& parameters) {
  return std::make_shared<TextSeal>(key, read(parameters, Revision::Two));
}

}  // namespace countermark::marks
