#include "marks/hf_kgw.h"

#include <cstdint>
#include <optional>

#include "base/fail.h"
#include "base/json.h"
#include "marks/green_list.h"
#include "marks/parameters.h"

namespace countermark::marks {
namespace {

struct KgwParameters {
  bool is_selfhash;
  PermutedLists lists;
  double greenlist_ratio;
  double bias;
  std::size_t context_width;
};

KgwParameters read(Parameters& reader, bool is_selfhash) {
  KgwParameters read = {};
  read.is_selfhash = is_selfhash;
  const auto vocab_size = static_cast<std::uint32_t>(reader.required_integer(
      "vocab_size", "the model's, the length of its logits", 2, largest_vocab));
  read.greenlist_ratio = reader.number("greenlist_ratio", 0.25, 1e-6, 1.0 - 1e-6);
  read.bias = reader.number("bias", 2.0, -100.0, 100.0);
  read.context_width = static_cast<std::size_t>(reader.integer("context_width", 1, 1, 64));
  reader.fixed("context_of", "prompt and response");
  reader.fixed("padding", nullptr);
  reader.fixed("first_scored", is_selfhash ? "context_width - 1" : "context_width");
  reader.fixed("scored_once", "seed and token");
  reader.fixed("permuted_on", "cpu");
  read.lists = PermutedLists::of(vocab_size, read.greenlist_ratio, "greenlist_ratio");
  return read;
}

class KgwRule final : public GreenRule {
 public:
  KgwRule(const keys::Secret& key, const KgwParameters& parameters)
      : parameters_(parameters), key_(key) {
    require_words(key, 1, 1);
    // Whole numbers and words differ above, and the engine mixes both; with 0 there is but one
    // list.
    if (key_word() >> 63 != 0 || key_word() == 0) {
      fail(ErrorCode::InvalidKey, "hashing_key must be in 1..2^63-1");
    }
    if (parameters.is_selfhash) table_.emplace(key_word());
  }

  std::size_t window() const noexcept override { return parameters_.context_width; }
  bool is_self_seeded() const noexcept override { return parameters_.is_selfhash; }
  /// The seed modulo 2^64 - 1, never negative, of which the lower half counts.
  std::uint64_t list(std::span<const TokenId> window) const noexcept override {
    constexpr std::uint64_t modulus = ~std::uint64_t{0};
    if (!parameters_.is_selfhash) {
      // Of whole numbers, which do not wrap.
      const auto product =
          static_cast<__uint128_t>(key_word()) * static_cast<std::uint64_t>(window.back());
      return static_cast<std::uint32_t>(product % modulus);
    }
    const std::int64_t least = least_product(key_word(), window, *table_);
    const auto bits = static_cast<std::uint64_t>(least);
    return static_cast<std::uint32_t>(least < 0 ? bits - 1 : bits);
  }
  bool is_green(std::uint64_t list, TokenId token) const override {
    return parameters_.lists.is_green(list, token);
  }
  bool permutes() const noexcept override { return true; }
  std::vector<TokenId> greens(std::uint64_t list) const override {
    return parameters_.lists.greens(list);
  }
  double nominal_share() const noexcept override { return parameters_.greenlist_ratio; }
  double share() const noexcept override { return parameters_.lists.share(); }

 private:
  std::uint64_t key_word() const noexcept { return word_of(key_, 0); }

  KgwParameters parameters_;
  keys::Secret key_;
  std::optional<PermutedTable> table_;
};

std::shared_ptr<const EngineMark> make(const keys::Secret& key, const KgwParameters& parameters) {
  const GreenBias bias = {.delta = parameters.bias, .looked_at = 40};
  const GreenCount count = {
      .counts_repeats = true,
      .remark =
          "transformers' normal approximation (older versions have another formula, "
          "too small from z = 4 on); it counts every repeat of an n-gram as a draw of its own"};
  return make_green_list(
      key,
      [parameters](const keys::Secret& secret) {
        return std::make_shared<KgwRule>(secret, parameters);
      },
      bias, count);
}

}  // namespace

void complete_hf_kgw_lefthash(Parameters& parameters) { read(parameters, false); }

void complete_hf_kgw_selfhash(Parameters& parameters) { read(parameters, true); }

std::shared_ptr<const EngineMark> make_hf_kgw_lefthash_1(const keys::Secret& key,
                                                         Parameters& parameters) {
  return make(key, read(parameters, false));
}

std::shared_ptr<const EngineMark> make_hf_kgw_selfhash_1(const keys::Secret& key,
                                                         Parameters& parameters) {
  return make(key, read(parameters, true));
}

}  // namespace countermark::marks
