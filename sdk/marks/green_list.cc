#include "marks/green_list.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "base/fail.h"
#include "marks/context_history.h"
#include "prf/torch_permutation.h"
#include "stats/gamma_tail.h"

namespace countermark::marks {
namespace {

constexpr TokenId padding = 0;

using MakeRule = std::function<std::shared_ptr<const GreenRule>(const keys::Secret&)>;

class GreenWalk final : public EngineWalk {
 public:
  GreenWalk(std::shared_ptr<const GreenRule> rule, const GreenBias& bias,
            std::span<const TokenId> prompt)
      : rule_(std::move(rule)), bias_(bias) {
    if (bias_.is_padded) all_.assign(rule_->window(), padding);
    all_.insert(all_.end(), prompt.begin(), prompt.end());
    begin_ = all_.size();
  }
  std::unique_ptr<EngineWalk> clone() const override { return std::make_unique<GreenWalk>(*this); }

  void observe(TokenId token, bool /*was_marked*/) override { all_.push_back(token); }
  void rollback(std::size_t count) noexcept override {
    all_.resize(all_.size() - std::min(count, all_.size() - begin_));
  }
  std::span<const TokenId> tokens() const noexcept override {
    return std::span(all_).subspan(begin_);
  }

  bool is_marked(std::span<const Candidate> /*candidates*/) const override {
    return all_.size() >= rule_->window();
  }
  Bias biases() const noexcept override {
    return bias_.is_first ? Bias::BeforeTruncation : Bias::AfterTruncation;
  }
  void reweigh(std::span<Candidate> candidates) const override {
    const double factor = std::exp(bias_.delta);
    for_each_green(
        candidates.size(), [&](std::size_t i) { return candidates[i].token; },
        [&](std::size_t a, std::size_t b) { return candidates[a].weight > candidates[b].weight; },
        [&](std::size_t i) { candidates[i].weight *= factor; });
  }
  void bias(std::span<float> logits) const override {
    for_each_green(
        logits.size(), [](std::size_t i) { return static_cast<TokenId>(i); },
        [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; },
        [&](std::size_t i) { logits[i] += static_cast<float>(bias_.delta); });
  }

 private:
  /// Tokens of a window that are there before the one drawn.
  std::size_t context() const noexcept {
    return rule_->window() - (rule_->is_self_seeded() ? 1 : 0);
  }

  /// Calls `mark(i)` for each of `count` items that is green.
  template <typename TokenOf, typename IsLikelier, typename Mark>
  void for_each_green(std::size_t count, TokenOf&& token_of, IsLikelier&& is_likelier,
                      Mark&& mark) const {
    const auto before = std::span(all_).last(context());
    if (!rule_->is_self_seeded() && !rule_->permutes()) {
      const std::uint64_t list = rule_->list(before);
      for (std::size_t i = 0; i < count; ++i) {
        if (rule_->is_green(list, token_of(i))) mark(i);
      }
      return;
    }
    if (!rule_->is_self_seeded()) {
      const std::uint64_t list = rule_->list(before);
      std::vector<bool> is_green;
      for (const TokenId token : rule_->greens(list)) {
        const auto id = static_cast<std::size_t>(token);
        if (id >= is_green.size()) is_green.resize(id + 1);
        is_green[id] = true;
      }
      for (std::size_t i = 0; i < count; ++i) {
        const auto id = static_cast<std::size_t>(token_of(i));
        if (id < is_green.size() && is_green[id]) mark(i);
      }
      return;
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (bias_.looked_at > 0 && bias_.looked_at < count) {
      const auto end = order.begin() + static_cast<std::ptrdiff_t>(bias_.looked_at);
      // The lower item among equals, as a stable sort has it.
      std::partial_sort(order.begin(), end, order.end(), [&](std::size_t a, std::size_t b) {
        return is_likelier(a, b) || (!is_likelier(b, a) && a < b);
      });
      order.erase(end, order.end());
    }
    std::vector<TokenId> window(before.begin(), before.end());
    window.push_back(0);
    for (const std::size_t i : order) {
      window.back() = token_of(i);
      if (rule_->is_green(rule_->list(window), window.back())) mark(i);
    }
  }

  std::shared_ptr<const GreenRule> rule_;
  GreenBias bias_;
  /// Padding, prompt and response; where the response begins.
  std::vector<TokenId> all_;
  std::size_t begin_ = 0;
};

class GreenList final : public EngineMark {
 public:
  GreenList(const keys::Secret& key, MakeRule make_rule, const GreenBias& bias,
            const GreenCount& count)
      : make_rule_(std::move(make_rule)), rule_(make_rule_(key)), bias_(bias), count_(count) {}

  std::size_t width() const noexcept override {
    return rule_->window() - (rule_->is_self_seeded() ? 1 : 0);
  }
  bool selects() const noexcept override { return false; }

  TextScores score(std::optional<std::span<const TokenId>> /*prompt*/,
                   std::span<const TokenId> tokens) const override {
    const double share = rule_->share();
    TextScores result;
    result.rests.assign(tokens.size(), not_scored);
    result.scores.assign(tokens.size(), not_scored);
    result.draws.resize(tokens.size());
    result.null = stats::BinomialNull{share};
    std::unordered_set<std::uint64_t> draws, ngrams;
    std::size_t engine_scored = 0, engine_hits = 0;
    for (std::size_t i = width(); i < tokens.size(); ++i) {
      const auto ngram = tokens.subspan(i - width(), width() + 1);
      const std::uint64_t list = rule_->list(ngram.first(rule_->window()));
      const bool is_new_ngram = ngrams.insert(context_hash(ngram)).second;
      // Two n-grams with one list and one token are one draw.
      const std::uint64_t draw[] = {list, static_cast<std::uint64_t>(tokens[i])};
      result.draws[i] = XXH3_64bits(draw, sizeof draw);
      const bool is_new_draw = draws.insert(result.draws[i]).second;
      if (!is_new_ngram && !count_.counts_repeats) continue;
      const bool is_green = rule_->is_green(list, tokens[i]);
      ++engine_scored;
      engine_hits += is_green;
      // A list that no key has made (the left hash of token 0) says nothing of one.
      if (!is_new_draw || list == 0) continue;
      result.scores[i] = is_green ? 1.0 : 0.0;
      // A p-value of one bit, made continuous by a uniform that anyone can compute again from the
      // text, and that knows nothing of the key.
      const std::uint64_t bits = XXH3_64bits_withSeed(ngram.data(), ngram.size_bytes(), smoothing);
      const double v = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
      result.rests[i] = is_green ? share * v : share + (1.0 - share) * v;
    }
    const auto n = static_cast<double>(engine_scored);
    const double nominal = rule_->nominal_share();
    const double z = n == 0.0 ? 0.0
                              : (static_cast<double>(engine_hits) - nominal * n) /
                                    std::sqrt(n * nominal * (1.0 - nominal));
    result.engine = {engine_scored, static_cast<double>(engine_hits), log10_normal_tail(z),
                     count_.remark};
    return result;
  }

  std::unique_ptr<EngineWalk> walk(std::span<const TokenId> prompt) const override {
    return std::make_unique<GreenWalk>(rule_, bias_, prompt);
  }
  std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const override {
    return std::make_shared<GreenList>(secret, make_rule_, bias_, count_);
  }

 private:
  static constexpr std::uint64_t smoothing = 0x736D6F6F7468;  // "smooth"

  /// P(Z >= z) = Q(1/2, z^2 / 2) / 2 for z >= 0.
  static double log10_normal_tail(double z) {
    if (z < 0.0) return std::log10(0.5 * std::erfc(z / std::sqrt(2.0)));
    return stats::log10_gamma_tail(0.5, 0.5 * z * z) + std::log10(0.5);
  }

  MakeRule make_rule_;
  std::shared_ptr<const GreenRule> rule_;
  GreenBias bias_;
  GreenCount count_;
};

}  // namespace

PermutedLists PermutedLists::of(std::uint32_t vocab_size, double ratio, const char* name) {
  const auto green_size = static_cast<std::uint32_t>(static_cast<double>(vocab_size) * ratio);
  if (green_size < 1) {
    fail(ErrorCode::InvalidOption, name, " ", ratio, " of ", vocab_size,
         " tokens leaves no green one");
  }
  return {green_size, vocab_size};
}

bool PermutedLists::is_green(std::uint64_t list, TokenId token) const {
  const auto id = static_cast<std::uint32_t>(token);
  return id < vocab_size && prf::TorchPermutation(list).is_among_first(id, green_size, vocab_size);
}

std::vector<TokenId> PermutedLists::greens(std::uint64_t list) const {
  const auto first = prf::TorchPermutation(list).first(green_size, vocab_size);
  return {first.begin(), first.end()};
}

PermutedTable::PermutedTable(std::uint64_t seed) {
  constexpr std::uint32_t size = 1'000'003;
  numbers_ = prf::TorchPermutation(seed).first(size, size);
}

std::shared_ptr<const EngineMark> make_green_list(const keys::Secret& key, MakeRule make_rule,
                                                  const GreenBias& bias, const GreenCount& count) {
  return std::make_shared<GreenList>(key, std::move(make_rule), bias, count);
}

}  // namespace countermark::marks
