#include "marks/synthid.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/json.h"
#include "marks/context_history.h"
#include "marks/parameters.h"
#include "prf/synthid_hash.h"
#include "stats/lattice_tail.h"
#include "stats/sum.h"

namespace countermark::marks {
namespace {

constexpr TokenId padding = 0;
constexpr std::size_t most_layers = 64;

enum class Version { Table, Rounds };

struct SynthIdParameters {
  Version version;
  std::size_t ngram_len;
  std::size_t context_history_size;
  bool skip_first_ngram_calls;
  /// Of the table.
  std::size_t table_size;
  std::uint32_t table_seed;

  std::size_t width() const noexcept { return ngram_len - 1; }
};

SynthIdParameters read(Parameters& reader, Version version) {
  SynthIdParameters read = {};
  read.version = version;
  read.ngram_len = static_cast<std::size_t>(reader.integer("ngram_len", 5, 2, 64));
  read.context_history_size =
      static_cast<std::size_t>(reader.integer("context_history_size", 1024, 1, 1 << 24));
  read.skip_first_ngram_calls = reader.boolean("skip_first_ngram_calls", false);
  if (version == Version::Table) {
    read.table_size =
        static_cast<std::size_t>(reader.integer("sampling_table_size", 65536, 2, 1 << 24));
    if ((read.table_size & (read.table_size - 1)) != 0) {
      fail(ErrorCode::InvalidOption,
           "sampling_table_size must be a power of two (with any other the layers' null has no "
           "short description), got ",
           read.table_size);
    }
    read.table_seed = static_cast<std::uint32_t>(
        reader.integer("sampling_table_seed", 0, 0, std::numeric_limits<std::uint32_t>::max()));
    reader.fixed("table_drawn_on", "cpu");
  }
  reader.fixed("context_of", "response");
  reader.fixed("padding", padding);
  reader.fixed("first_scored", "ngram_len - 1");
  reader.fixed("scored_once", "context");
  return read;
}

/// The bytes of a key's words as one number, big-endian, modulo 2^63 - 1.
std::uint64_t initial_hash(const keys::Secret& key) {
  const auto bytes = key.reveal();  // little-endian words, as the engine hashes them
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest = {};
  SHA256(bytes.data(), bytes.size(), digest.data());
  constexpr std::uint64_t modulus = (std::uint64_t{1} << 63) - 1;
  // Eight bits at a time: the rest stays below 2^71 / 2^63.
  std::uint64_t rest = 0;
  for (const std::uint8_t byte : digest) {
    const __uint128_t next = (static_cast<__uint128_t>(rest) << 8) | byte;
    rest = static_cast<std::uint64_t>(next % modulus);
  }
  return rest;
}

/// The g-values of one token, a bit for each layer.
using Bits = std::uint64_t;

/// Hashes under a key.
class Layers {
 public:
  Layers(const keys::Secret& key, const SynthIdParameters& parameters)
      : key_(key),
        depth_(words_of(key)),
        initial_(parameters.version == Version::Table ? 1 : initial_hash(key)),
        mask_(parameters.table_size - 1) {
    if (parameters.version == Version::Table) {
      table_ = prf::synthid_table(parameters.table_size, parameters.table_seed);
    }
  }

  std::size_t depth() const noexcept { return depth_; }
  std::uint64_t initial() const noexcept { return initial_; }

  /// From the hash of context and token.
  Bits bits(std::uint64_t hash) const noexcept {
    Bits bits = 0;
    for (std::size_t l = 0; l < depth_; ++l) {
      const std::uint64_t layer = prf::synthid_step(hash, word_of(key_, l));
      const bool bit = table_.empty() ? prf::synthid_bit(layer) : table_[layer & mask_];
      bits |= static_cast<Bits>(bit) << l;
    }
    return bits;
  }

  /// All that the bits depend on: with a table the lower bits of the hash.
  std::uint64_t state(std::uint64_t hash) const noexcept {
    return table_.empty() ? hash : hash & mask_;
  }
  /// The number of states, 0 where they are too many to count.
  std::size_t states() const noexcept { return table_.size(); }

 private:
  keys::Secret key_;
  std::size_t depth_;
  std::uint64_t initial_, mask_;
  std::vector<bool> table_;
};

/// The engine's weights, 10 for the first layer down to 1 for the last, in the smallest unit in
/// which they are whole numbers.
std::vector<std::int64_t> weights_of(std::size_t depth) {
  std::vector<std::int64_t> weights;
  const auto last = static_cast<std::int64_t>(depth) - 1;
  for (std::int64_t l = 0; l <= last; ++l) weights.push_back(last == 0 ? 1 : 10 * last - 9 * l);
  return weights;
}

std::int64_t weigh(Bits bits, std::span<const std::int64_t> weights) noexcept {
  std::int64_t sum = 0;
  for (std::size_t l = 0; l < weights.size(); ++l) {
    if ((bits >> l & 1) != 0) sum += weights[l];
  }
  return sum;
}

/// P(weigh = k) of one token whose bits do not depend on the text: of independent fair bits, or
/// of a state that is uniform.
std::vector<double> null_of(const Layers& layers, std::span<const std::int64_t> weights) {
  std::int64_t most = 0;
  for (const std::int64_t weight : weights) most += weight;
  std::vector<double> probabilities(static_cast<std::size_t>(most) + 1);
  if (layers.states() > 0) {
    const double one = 1.0 / static_cast<double>(layers.states());
    for (std::size_t state = 0; state < layers.states(); ++state) {
      probabilities[static_cast<std::size_t>(weigh(layers.bits(state), weights))] += one;
    }
    return probabilities;
  }
  probabilities[0] = 1.0;
  for (const std::int64_t weight : weights) {
    const auto shift = static_cast<std::size_t>(weight);
    for (std::size_t k = probabilities.size(); k-- > 0;) {
      const double from = k >= shift ? probabilities[k - shift] : 0.0;
      probabilities[k] = 0.5 * (probabilities[k] + from);
    }
  }
  return probabilities;
}

/// The weighted sum of a token's bits in steps of a sixteenth of its deviation, which keeps the
/// null of a text's sum small, and the null of that.
class Steps {
 public:
  Steps(const Layers& layers, std::vector<std::int64_t> weights) : weights_(std::move(weights)) {
    const std::vector<double> exact = null_of(layers, weights_);
    double first = 0.0, second = 0.0;
    for (std::size_t k = 0; k < exact.size(); ++k) {
      const auto x = static_cast<double>(k);
      first += exact[k] * x;
      second += exact[k] * x * x;
    }
    const double deviation = std::sqrt(std::max(0.0, second - first * first));
    step_ = std::max<std::int64_t>(1, std::lround(deviation / 16.0));
    auto terms = std::make_shared<stats::LatticeTerms>();
    terms->probabilities.resize(
        static_cast<std::size_t>((static_cast<std::int64_t>(exact.size()) - 1) / step_ + 1));
    for (std::size_t k = 0; k < exact.size(); ++k) {
      terms->probabilities[k / static_cast<std::size_t>(step_)] += exact[k];
    }
    tails_.resize(terms->probabilities.size());
    double tail = 0.0;
    for (std::size_t k = tails_.size(); k-- > 0;) {
      tails_[k] = std::min(1.0, tail += terms->probabilities[k]);
    }
    terms_ = std::move(terms);
  }

  std::int64_t exact(Bits bits) const noexcept { return weigh(bits, weights_); }
  std::int64_t of(Bits bits) const noexcept { return exact(bits) / step_; }
  /// P(a token's steps are at least so many).
  double tail(std::int64_t steps) const { return tails_[static_cast<std::size_t>(steps)]; }
  const std::shared_ptr<const stats::LatticeTerms>& terms() const noexcept { return terms_; }
  /// The weight of all layers.
  double total() const noexcept {
    double sum = 0.0;
    for (const std::int64_t weight : weights_) sum += static_cast<double>(weight);
    return sum;
  }

 private:
  std::vector<std::int64_t> weights_;
  std::int64_t step_ = 1;
  std::vector<double> tails_;
  std::shared_ptr<const stats::LatticeTerms> terms_;
};

/// The engine's history begins as zeros.
bool is_repeated(const ContextHistory& history, std::uint64_t context, std::size_t most) {
  return history.contains(context, most) || (context == 0 && history.size() < most);
}

class SynthIdWalk final : public EngineWalk {
 public:
  SynthIdWalk(const SynthIdParameters& parameters, std::shared_ptr<const Layers> layers)
      : parameters_(parameters), layers_(std::move(layers)), tokens_(parameters.width(), padding) {
    place();
  }
  std::unique_ptr<EngineWalk> clone() const override {
    return std::make_unique<SynthIdWalk>(*this);
  }

  void observe(TokenId token, bool /*was_marked*/) override {
    if (!is_skipped()) history_.push(context_);
    tokens_.push_back(token);
    place();
  }
  void rollback(std::size_t count) noexcept override {
    for (count = std::min(count, tokens().size()); count > 0; --count) {
      tokens_.pop_back();
      place();
      if (!is_skipped()) history_.pop();
    }
  }
  std::span<const TokenId> tokens() const noexcept override {
    return std::span(tokens_).subspan(parameters_.width());
  }

  bool is_marked(std::span<const Candidate> /*candidates*/) const override {
    return !is_skipped() && !is_repeated(history_, context_, parameters_.context_history_size);
  }
  bool reweighs_greedy() const noexcept override {
    return parameters_.version == Version::Table;  // the other samples by itself
  }
  void reweigh(std::span<Candidate> candidates) const override {
    double total = 0.0;
    std::vector<Bits> bits;
    for (const Candidate& c : candidates) {
      total += c.weight;
      bits.push_back(layers_->bits(prf::synthid_hash(context_, std::span(&c.token, 1))));
    }
    for (Candidate& c : candidates) c.weight /= total;
    for (std::size_t l = 0; l < layers_->depth(); ++l) {
      double mass = 0.0;
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        if ((bits[i] >> l & 1) != 0) mass += candidates[i].weight;
      }
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        candidates[i].weight *= ((bits[i] >> l & 1) != 0 ? 2.0 : 1.0) - mass;
      }
    }
  }

 private:
  bool is_skipped() const noexcept {
    return parameters_.skip_first_ngram_calls && tokens().size() + 1 < parameters_.ngram_len;
  }
  void place() noexcept {
    context_ = prf::synthid_hash(layers_->initial(), std::span(tokens_).last(parameters_.width()));
  }

  SynthIdParameters parameters_;
  std::shared_ptr<const Layers> layers_;
  /// Behind their padding.
  std::vector<TokenId> tokens_;
  ContextHistory history_;
  /// The hash of the next position's context.
  std::uint64_t context_ = 0;
};

class SynthId final : public EngineMark {
 public:
  SynthId(const keys::Secret& secret, const SynthIdParameters& parameters)
      : parameters_(parameters) {
    require_words(secret, 1, most_layers);
    // Version 1's null is worked out under the key, whatever it is.
    if (parameters.version == Version::Rounds) require_distinct_words(secret);
    layers_ = std::make_shared<const Layers>(secret, parameters);
    steps_ = std::make_shared<const Steps>(*layers_, weights_of(layers_->depth()));
  }

  std::size_t width() const noexcept override { return parameters_.width(); }
  bool selects() const noexcept override { return false; }

  TextScores score(std::optional<std::span<const TokenId>> /*prompt*/,
                   std::span<const TokenId> tokens) const override {
    TextScores result;
    result.rests.assign(tokens.size(), not_scored);
    result.scores.assign(tokens.size(), not_scored);
    result.draws.resize(tokens.size());
    result.null = stats::LatticeNull{steps_->terms()};
    // Of the engine, which forgets contexts; and ours, where a state counts once.
    ContextHistory history;
    std::unordered_set<std::uint64_t> contexts, states;
    std::size_t engine_scored = 0;
    double engine_sum = 0.0;
    for (std::size_t i = parameters_.width(); i < tokens.size(); ++i) {
      const std::uint64_t context = prf::synthid_hash(
          layers_->initial(), tokens.subspan(i - parameters_.width(), parameters_.width()));
      const bool is_new = !is_repeated(history, context, parameters_.context_history_size);
      history.push(context);
      const std::uint64_t hash = prf::synthid_hash(context, tokens.subspan(i, 1));
      const Bits bits = layers_->bits(hash);
      if (is_new) {
        ++engine_scored;
        engine_sum += static_cast<double>(steps_->exact(bits));
      }
      if (!contexts.insert(context).second) continue;
      result.draws[i] = layers_->state(hash);
      if (!states.insert(result.draws[i]).second) continue;
      const std::int64_t steps = steps_->of(bits);
      result.scores[i] = static_cast<double>(steps);
      result.rests[i] = steps_->tail(steps);
    }
    const double scale = static_cast<double>(engine_scored) * steps_->total();
    result.engine = {engine_scored, engine_scored == 0 ? 0.0 : engine_sum / scale, not_scored,
                     "SynthID's weighted mean; it comes without a p-value"};
    return result;
  }

  std::unique_ptr<EngineWalk> walk(std::span<const TokenId> /*prompt*/) const override {
    return std::make_unique<SynthIdWalk>(parameters_, layers_);
  }
  std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const override {
    return std::make_shared<SynthId>(secret, parameters_);
  }

 private:
  SynthIdParameters parameters_;
  std::shared_ptr<const Layers> layers_;
  std::shared_ptr<const Steps> steps_;
};

}  // namespace

void complete_hf_synthid_1(Parameters& parameters) { read(parameters, Version::Table); }

void complete_deepmind_synthid_2(Parameters& parameters) { read(parameters, Version::Rounds); }

std::shared_ptr<const EngineMark> make_hf_synthid_1(const keys::Secret& key,
                                                    Parameters& parameters) {
  return std::make_shared<SynthId>(key, read(parameters, Version::Table));
}

std::shared_ptr<const EngineMark> make_deepmind_synthid_2(const keys::Secret& key,
                                                          Parameters& parameters) {
  return std::make_shared<SynthId>(key, read(parameters, Version::Rounds));
}

}  // namespace countermark::marks
