#include "countermark/identify.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/fail.h"
#include "base/json.h"
#include "base/workers.h"
#include "detect/correction.h"
#include "keys/secret.h"
#include "marks/marks.h"
#include "stats/evidence.h"
#include "stats/sum.h"

namespace countermark {
namespace {

using base::Json;
using Words = std::vector<std::uint64_t>;

/// A contract with its parameters and the numbers of the key that it takes.
struct Hypothesis {
  const marks::MarkEntry* mark;
  Words key;
  Json parameters;
};

/// Contexts as wide as engines are run with.
constexpr std::int64_t widest = 8;
/// What TextSeal adds to key A to get its default key B.
constexpr std::uint64_t textseal_key_b = 12345;

class Hypotheses {
 public:
  Hypotheses(std::span<const std::uint64_t> key, std::optional<std::int64_t> vocab_size)
      : key_(key.begin(), key.end()), vocab_size_(vocab_size) {
    for (const marks::MarkEntry& mark : marks::all()) {
      if (mark.make != nullptr) add(mark);
    }
  }
  const std::vector<Hypothesis>& all() const noexcept { return all_; }

 private:
  void add(const marks::MarkEntry& mark) {
    const std::string_view name = mark.name;
    const Words one = {key_.front()};
    if (name == "vllm/gumbel-1" || name == "vllm/gumbel-0") {
      for_widths(mark, one, "context_width", 1, widest, {});
    } else if (name == "vllm/dual-gumbel-1") {
      for (const double alpha : {0.1, 0.5}) {
        for_widths(mark, one, "context_width", 1, widest, {{"alpha", alpha}});
      }
    } else if (name == "sglang/aaronson-1") {
      for_widths(mark, one, "context_window", 1, widest, {});
    } else if (name == "sglang/aaronson-dual-1") {
      for (const double mixing : {0.5, 0.25, 0.75}) {
        if (key_.size() < 2) break;
        for_widths(mark, {key_[0], key_[1]}, "context_window", 1, widest,
                   {{"mixing_probability", mixing}});
      }
    } else if (name == "meta/textseal-1" || name == "meta/textseal-2") {
      for_widths(mark, one, "ngram", 1, widest, {});
      const std::uint64_t other = key_.size() > 1 ? key_[1] : key_[0] + textseal_key_b;
      if (name == "meta/textseal-2") for_widths(mark, {key_[0], other}, "ngram", 1, widest, {});
    } else if (name == "hf/synthid-1" || name == "deepmind/synthid-2") {
      if (key_.size() > 1) for_widths(mark, key_, "ngram_len", 2, widest, {});
    } else if (name == "hf/kgw-lefthash-1" || name == "hf/kgw-selfhash-1") {
      // The left hash looks at one token, however wide the context.
      const std::int64_t most = name == "hf/kgw-selfhash-1" ? 5 : 1;
      for (const double ratio : {0.25, 0.5}) {
        if (!vocab_size_) break;
        for_widths(mark, one, "context_width", 1, most,
                   {{"greenlist_ratio", ratio}, {"vocab_size", *vocab_size_}});
      }
    } else {
      for (const double gamma : {0.5, 0.25}) {
        all_.push_back({&mark, one, {{"gamma", gamma}}});
        if (!vocab_size_) continue;
        all_.push_back(
            {&mark,
             one,
             {{"gamma", gamma}, {"generator", "randperm"}, {"vocab_size", *vocab_size_}}});
      }
    }
  }

  void for_widths(const marks::MarkEntry& mark, const Words& key, const char* name,
                  std::int64_t first, std::int64_t last, const Json& others) {
    for (std::int64_t width = first; width <= last; ++width) {
      Json parameters = others.is_null() ? Json::object() : others;
      parameters[name] = width;
      all_.push_back({&mark, key, std::move(parameters)});
    }
  }

  Words key_;
  std::optional<std::int64_t> vocab_size_;
  std::vector<Hypothesis> all_;
};

/// A hypothesis whose contract takes the key, ready to read texts.
struct Contract {
  std::string_view name;
  std::size_t key_words;
  std::string parameters_json;
  std::shared_ptr<const marks::EngineMark> mark;
};

std::vector<Contract> contracts_of(const std::vector<Hypothesis>& hypotheses) {
  std::vector<Contract> contracts;
  for (const Hypothesis& hypothesis : hypotheses) {
    Json json = hypothesis.parameters;
    marks::Parameters parameters(json);
    try {
      auto mark = hypothesis.mark->make(marks::key_of(hypothesis.key), parameters);
      contracts.push_back(
          {hypothesis.mark->name, hypothesis.key.size(), json.dump(), std::move(mark)});
    } catch (const Error&) {
      // Not with this key, or not with this vocabulary.
    }
  }
  return contracts;
}

ContractFit fit(const Contract& contract, std::span<const EngineText> texts) {
  ContractFit result;
  result.mark = contract.name;
  result.parameters_json = contract.parameters_json;
  result.key_words = contract.key_words;
  std::unordered_set<std::uint64_t> seen;
  stats::SumNull null;
  stats::Sum sum;
  for (const EngineText& text : texts) {
    const marks::TextScores scores = contract.mark->score(text.prompt, text.tokens);
    null = scores.null;
    for (std::size_t i = 0; i < scores.rests.size(); ++i) {
      if (std::isnan(scores.rests[i])) continue;
      if (!seen.insert(scores.draws[i]).second) continue;
      ++result.scored;
      sum.add(scores.scores.empty() ? -std::log(scores.rests[i]) : scores.scores[i]);
    }
  }
  result.score = sum.value();
  result.log10_p = stats::log10_tail(null, result.scored, result.score);
  return result;
}

void require(std::span<const EngineText> texts, std::span<const std::uint64_t> key,
             const IdentifyOptions& options) {
  if (key.empty() || key.size() > keys::Secret::most_bytes / 8) {
    fail(ErrorCode::InvalidKey, "an engine's key must hold 1 to ", keys::Secret::most_bytes / 8,
         " numbers, got ", key.size());
  }
  if (options.vocab_size && !(*options.vocab_size >= 2 && *options.vocab_size <= INT32_MAX)) {
    fail(ErrorCode::InvalidOption, "vocab_size must be in 2..", INT32_MAX, ", got ",
         *options.vocab_size);
  }
  const auto require_ids = [](std::span<const TokenId> ids, std::size_t text, const char* of) {
    const auto bad = std::find_if(ids.begin(), ids.end(), [](TokenId id) { return id < 0; });
    if (bad == ids.end()) return;
    fail(ErrorCode::TokenOutOfRange, of, " ", text, ": token ", bad - ids.begin(), " is ", *bad,
         ", and an id is 0 or more");
  };
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    require_ids(texts[i].tokens, i, "text");
    if (texts[i].prompt) require_ids(*texts[i].prompt, i, "prompt");
    tokens += texts[i].tokens.size();
  }
  if (tokens == 0) fail(ErrorCode::EmptyText, "there is no token to examine");
}

}  // namespace

std::vector<ContractFit> identify(std::span<const EngineText> texts,
                                  std::span<const std::uint64_t> key,
                                  const IdentifyOptions& options) {
  require(texts, key, options);
  const double threshold =
      detect::log10_threshold("false_positive_rate", options.false_positive_rate);
  const Hypotheses hypotheses(key, options.vocab_size);
  const std::vector<Contract> contracts = contracts_of(hypotheses.all());
  std::vector<ContractFit> fits(contracts.size());
  base::Workers(options.threads).run(fits.size(), [&](std::size_t i) {
    fits[i] = fit(contracts[i], texts);
  });
  std::vector<double> log10_p;
  log10_p.reserve(fits.size());
  for (const ContractFit& one : fits) log10_p.push_back(one.log10_p);
  const std::vector<double> adjusted = stats::log10_holm(log10_p);
  for (std::size_t i = 0; i < fits.size(); ++i) {
    fits[i].log10_p_adjusted = adjusted[i];
    fits[i].fits = adjusted[i] <= threshold;
  }
  std::stable_sort(fits.begin(), fits.end(), [](const ContractFit& a, const ContractFit& b) {
    return a.log10_p < b.log10_p;
  });
  return fits;
}

}  // namespace countermark
