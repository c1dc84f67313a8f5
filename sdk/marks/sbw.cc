#include "marks/sbw.h"

#include <cstdint>
#include <limits>

#include "base/fail.h"
#include "base/json.h"
#include "marks/green_list.h"
#include "marks/parameters.h"
#include "prf/jenkins.h"
#include "prf/philox.h"

namespace countermark::marks {
namespace {

constexpr std::uint64_t table_seed = 2'971'215'073;
/// Words are compared by their lower 31 bits.
constexpr std::uint32_t word_mask = 0x7FFFFFFF;

/// How a seed makes tokens green.
enum class Generator {
  Philox,    ///< A word for each token.
  RandPerm,  ///< A permutation of the vocabulary.
};

struct SbwParameters {
  bool is_selfhash;
  Generator generator;
  /// Of permutations.
  PermutedLists lists;
  double gamma;
  double delta;

  std::uint32_t green_words() const noexcept {
    return static_cast<std::uint32_t>(gamma * static_cast<double>(word_mask));
  }
};

SbwParameters read(Parameters& reader, bool is_selfhash) {
  SbwParameters read = {};
  read.is_selfhash = is_selfhash;
  read.generator = reader.choice("generator", {"philox", "randperm"}) == "philox"
                       ? Generator::Philox
                       : Generator::RandPerm;
  read.gamma = reader.number("gamma", 0.5, 1e-6, 1.0 - 1e-6);
  read.delta = reader.number("delta", 2.0, -100.0, 100.0);
  if (read.generator == Generator::RandPerm) {
    const auto vocab_size = static_cast<std::uint32_t>(reader.required_integer(
        "vocab_size", "the model's, the length of its logits", 2, largest_vocab));
    reader.fixed("permuted_on", "cpu");
    read.lists = PermutedLists::of(vocab_size, read.gamma, "gamma");
  }
  reader.fixed("context_width", is_selfhash ? 4 : 1);
  reader.fixed("context_of", "prompt and response");
  reader.fixed("padding", 0);
  reader.fixed("first_scored", is_selfhash ? 3 : 1);
  reader.fixed("scored_once", "seed and token");
  return read;
}

class SbwRule final : public GreenRule {
 public:
  SbwRule(const keys::Secret& key, const SbwParameters& parameters)
      : parameters_(parameters), key_(key) {
    require_words(key, 1, 1);
    if (key_word() == 0) fail(ErrorCode::InvalidKey, "the key must not be 0: it has but one list");
  }

  std::size_t window() const noexcept override { return parameters_.is_selfhash ? 4 : 1; }
  bool is_self_seeded() const noexcept override { return parameters_.is_selfhash; }
  std::uint64_t list(std::span<const TokenId> window) const noexcept override {
    const std::int64_t seed = seed_of(window);
    if (parameters_.generator == Generator::Philox) return static_cast<std::uint64_t>(seed);
    // Modulo 2^63 - 1, never negative, of which the lower half counts.
    constexpr std::int64_t modulus = std::numeric_limits<std::int64_t>::max();
    const std::int64_t rest = seed % modulus;
    return static_cast<std::uint32_t>(rest < 0 ? rest + modulus : rest);
  }
  bool is_green(std::uint64_t list, TokenId token) const override {
    if (parameters_.generator == Generator::Philox) {
      const auto id = static_cast<std::uint32_t>(token);
      const prf::PhiloxBlock words =
          prf::philox({id >> 2, 0, 0, 0}, static_cast<std::uint32_t>(list),
                      static_cast<std::uint32_t>(list >> 32));
      return (words[id & 3] & word_mask) < parameters_.green_words();
    }
    return parameters_.lists.is_green(list, token);
  }
  bool permutes() const noexcept override { return parameters_.generator == Generator::RandPerm; }
  std::vector<TokenId> greens(std::uint64_t list) const override {
    return parameters_.lists.greens(list);
  }
  double nominal_share() const noexcept override { return parameters_.gamma; }
  double share() const noexcept override {
    if (parameters_.generator == Generator::Philox) {
      return static_cast<double>(parameters_.green_words()) * 0x1p-31;
    }
    return parameters_.lists.share();
  }

 private:
  std::uint64_t key_word() const noexcept { return word_of(key_, 0); }
  std::int64_t seed_of(std::span<const TokenId> window) const noexcept {
    if (!parameters_.is_selfhash) {
      return static_cast<std::int64_t>(key_word() * static_cast<std::uint64_t>(window.back()));
    }
    return least_product(key_word(), window, [&](TokenId token) { return hash(token); });
  }
  std::uint64_t hash(TokenId token) const noexcept {
    if (parameters_.generator == Generator::Philox) {
      return static_cast<std::uint64_t>(prf::jenkins(token));
    }
    // The same for every key.
    static const PermutedTable table(table_seed);
    return table(token);
  }
  SbwParameters parameters_;
  keys::Secret key_;
};

std::shared_ptr<const EngineMark> make(const keys::Secret& key, const SbwParameters& parameters) {
  const bool is_whole = parameters.generator == Generator::Philox;
  const GreenBias bias = {.delta = parameters.delta,
                          .is_first = true,
                          .looked_at = is_whole ? std::size_t{0} : std::size_t{41},
                          .is_padded = true};
  const GreenCount count = {
      .counts_repeats = false,
      .remark =
          "sbw's normal approximation; it counts n-grams that share a seed and a token, "
          "which are one draw, as several"};
  return make_green_list(
      key,
      [parameters](const keys::Secret& secret) {
        return std::make_shared<SbwRule>(secret, parameters);
      },
      bias, count);
}

}  // namespace

void complete_sbw_lefthash(Parameters& parameters) { read(parameters, false); }

void complete_sbw_selfhash(Parameters& parameters) { read(parameters, true); }

std::shared_ptr<const EngineMark> make_sbw_lefthash_1(const keys::Secret& key,
                                                      Parameters& parameters) {
  return make(key, read(parameters, false));
}

std::shared_ptr<const EngineMark> make_sbw_selfhash_1(const keys::Secret& key,
                                                      Parameters& parameters) {
  return make(key, read(parameters, true));
}

}  // namespace countermark::marks
