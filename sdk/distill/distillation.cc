#include "countermark/distillation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/fail.h"
#include "base/workers.h"
#include "detect/correction.h"
#include "detect/input.h"
#include "detect/keyed_mark.h"
#include "distill/log_contexts.h"
#include "distill/pair_counts.h"
#include "distill/pair_draws.h"
#include "distill/weighted_pairs.h"
#include "ledger/ledger_impl.h"
#include "marks/countermark_1.h"
#include "marks/text_walk.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "stats/evidence.h"
#include "stats/power_tail.h"
#include "stats/sum.h"
#include "stats/weighted_tail.h"

namespace countermark {
namespace {

/// The tilts of the e-value, in standard deviations of the sum.
constexpr double least_tilt = 0.5, tilt_ratio = std::numbers::sqrt2;
constexpr std::size_t tilts_tried = 15;

/// Less than this a prediction is not worth its memory.
constexpr double least_probability = 1e-4;

/// The tilts follow from the weights alone: which contexts are narrow is the key's.
std::vector<double> tilts_for(const distill::WeightedPairs& pairs, double narrow_share) {
  const double deviation = std::sqrt(pairs.variance() * narrow_share);
  std::vector<double> tilts;
  for (std::size_t k = 0; k < tilts_tried; ++k) {
    const double tilt = least_tilt * std::pow(tilt_ratio, static_cast<double>(k));
    tilts.push_back(deviation > 0.0 ? tilt / deviation : 0.0);
  }
  return tilts;
}

/// Tilts for few pairs or many, where their number or their weights hang on the key.
constexpr double fixed_tilts[] = {0x1p1,  0x1p0,  0x1p-1, 0x1p-2, 0x1p-3, 0x1p-4,
                                  0x1p-5, 0x1p-6, 0x1p-7, 0x1p-8, 0x1p-9, 0x1p-10};

struct Evidence {
  std::size_t scored = 0;
  double log10_p = 0.0, log10_e = 0.0;
};

/// Which contexts of `pairs` are looked at, by number.
using Mask = std::vector<bool>;

/// Which pairs count follows from where the key draws, and given that the scores are independent.
Evidence test_under(const distill::PairDraws& draws, const distill::WeightedPairs& pairs,
                    const Mask& mask, std::span<const double> tilts) {
  const std::size_t kinds = pairs.kinds.size();
  std::vector<std::size_t> counts(kinds);
  std::vector<stats::Sum> sums(kinds);
  Evidence evidence;
  for (std::size_t i = 0; i < pairs.contexts.size(); ++i) {
    if (!mask[i] || !draws.has(i)) continue;
    for (std::size_t k = pairs.begins[i]; k < pairs.begins[i + 1]; ++k) {
      const std::uint32_t kind = pairs.pairs[k].kind;
      sums[kind].add(draws.score(i, k));
      ++counts[kind];
      ++evidence.scored;
    }
  }
  if (evidence.scored == 0) return evidence;
  std::vector<double> scores;
  stats::Sum weighted;
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    scores.push_back(sums[kind].value());
    weighted.add(pairs.kinds[kind].weight * scores[kind]);
  }
  if (pairs.kinds.front().probability > 0.0) {
    std::vector<stats::PowerTerms> terms;
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      terms.push_back({pairs.kinds[kind].weight, pairs.kinds[kind].probability, counts[kind]});
    }
    evidence.log10_p = stats::log10_power_tail(terms, weighted.value());
    evidence.log10_e = stats::log10_power_e_value(terms, tilts, weighted.value());
    return evidence;
  }
  std::vector<stats::WeightedTerms> terms;
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    terms.push_back({pairs.kinds[kind].weight, counts[kind]});
  }
  evidence.log10_p = stats::log10_weighted_tail(terms, weighted.value());
  evidence.log10_e = stats::log10_weighted_e_value(terms, scores, tilts);
  return evidence;
}

/// Of a sequential test's error rate: adds up to 1 over all looks.
double share_of(std::size_t look) {
  const auto k = static_cast<double>(look);
  return 1.0 / ((k + 1.0) * (k + 2.0));
}

/// Bonferroni over the looks, past and to come.
double log10_p_of(std::span<const DistillationLook> looks) {
  double least = 0.0;
  for (const DistillationLook& look : looks) {
    least = std::min(least, look.log10_p - std::log10(look.share));
  }
  return least;
}

/// The mean over all looks by their shares, those to come counted as 0: never more than what has
/// mean 1, whenever one stops.
double log10_e_of(std::span<const DistillationLook> looks) {
  if (looks.empty()) return 0.0;
  std::vector<double> terms;
  for (const DistillationLook& look : looks) terms.push_back(look.log10_e + std::log10(look.share));
  return stats::log10_sum(terms);
}

/// A student learns what follows short contexts, token by token.
void require_learnable(const detect::KeyedMark& mark, const Profile& profile) {
  constexpr std::size_t widest = std::tuple_size_v<keys::Block>;
  if (mark.ours() != nullptr) {
    if (mark.ours()->parameters().narrow_units > 0) return;
    fail(ErrorCode::InvalidOption, "profile \"", profile.id(),
         "\" has no narrow layer, and the wide one is not learned: narrow_units is 0");
  }
  if (!mark.engine()->draws_pairs()) {
    fail(ErrorCode::UnknownMark, "profile \"", profile.id(), "\" has the mark ", profile.mark(),
         ", which does not draw each token after each context by one key; models are tested for "
         "countermark/1 and the marks of vLLM and SGLang that do. detect() all of the suspect's "
         "answers as one text instead");
  }
  if (mark.engine()->width() > widest) {
    fail(ErrorCode::InvalidOption, "profile \"", profile.id(), "\" has contexts of ",
         mark.engine()->width(), " tokens; models are tested for those of at most ", widest);
  }
}

}  // namespace

struct DistillationTest::Impl {
  Profile profile;
  DistillationOptions options;
  detect::KeyedMark mark;
  /// Of a context that is learned: the narrow layer's, or an engine's.
  std::size_t width;
  distill::PairTables tables = {};
  std::size_t texts = 0, positions = 0;
  /// After which served responses were marked: their scores were looked at when they were served,
  /// so that their weights must not change any more.
  distill::Contexts served = {};
  distill::LogContexts logs = {};
  std::size_t next_look = 0;
  std::vector<DistillationLook> looks = {};

  bool key_decides() const { return options.ledger || !served.empty(); }
  distill::WeightedPairs weighted() const { return distill::weigh(tables, options.weights); }
  std::vector<double> tilts(const distill::WeightedPairs& pairs) const {
    // What a suspect predicts for served texts follows from the key, and so do the weights as a
    // whole: each was fixed before its own scores were used, but their sum was not.
    if (!served.empty()) return {std::begin(fixed_tilts), std::end(fixed_tilts)};
    const double share =
        mark.engine() != nullptr
            ? 1.0
            : static_cast<double>(mark.ours()->parameters().narrow_units) / 65536.0;
    return tilts_for(pairs, share);
  }
  Mask mask(const distill::WeightedPairs& pairs, const distill::PairDraws& draws) const;
  bool needs_reference() const {
    return options.weights == PairWeights::Reference ||
           options.weights == PairWeights::MostPowerful;
  }
  /// `has_end`: with a row for what comes after the last token.
  void require_rows(const char* what, std::span<const TokenId> tokens, Predictions rows,
                    bool has_end = false) const;
  void require_expected(std::span<const TokenId> tokens, const Expected& expected,
                        bool has_end = false) const;
  /// Counts a position of a text: what follows, or what the suspect holds possible.
  void add(const keys::Block& context, std::span<const TokenProbability> shown,
           const Expected& expected, std::size_t i);
  void require_reference() const;
  /// `visit(i)` for each position of a response that the narrow layer has marked; tokens.size() for
  /// its end, where the mark may have drawn a token that is not there.
  template <typename Visit>
  void each_marked(std::span<const TokenId> tokens, Visit&& visit) const {
    std::vector<TokenId> and_one_more(tokens.begin(), tokens.end());
    and_one_more.push_back(0);
    marks::TextWalk walk(*mark.ours(), and_one_more);
    std::size_t i = 0;
    for (auto places = walk.next(); !places.empty(); places = walk.next()) {
      for (const marks::Place& place : places) {
        const bool is_free = mark.ours()->parameters().in_free_prefix(i);
        if (place.layer == marks::Layer::Narrow && !is_free) visit(i);
        ++i;
      }
    }
  }
  /// Ends a text, and looks if it is time.
  void end_text();

  keys::Block context_before(std::span<const TokenId> tokens, std::size_t i) const {
    return marks::context_of(tokens.first(i), static_cast<std::int64_t>(width));
  }
  /// Of what is known of countermark/1 alone: where a logged response was marked.
  void require_ours(std::string_view what) const {
    if (mark.ours() != nullptr) return;
    fail(ErrorCode::UnknownMark, "profile \"", profile.id(), "\" has the mark ", profile.mark(),
         "; ", what, " countermark/1 alone");
  }
};

DistillationTest::DistillationTest(const KeyRing& ring, std::string_view profile_id,
                                   const DistillationOptions& options) {
  const auto [entry, profile] = ring.impl().find(profile_id);
  detect::KeyedMark mark(entry->secret, *profile);
  require_learnable(mark, *profile);
  constexpr std::size_t most = 100'000;
  if (options.decoys > most) {
    fail(ErrorCode::InvalidOption, "decoys must be in 0..", most, ", got ", options.decoys);
  }
  if (options.ledger) options.ledger->impl().require_of(*profile);
  const std::size_t width = mark.widths().front();
  impl_ = std::make_unique<Impl>(
      Impl{.profile = *profile, .options = options, .mark = std::move(mark), .width = width});
}

DistillationTest::DistillationTest(DistillationTest&&) noexcept = default;
DistillationTest& DistillationTest::operator=(DistillationTest&&) noexcept = default;
DistillationTest::~DistillationTest() = default;

void DistillationTest::add_answer(std::span<const TokenId> prompt, std::span<const TokenId> answer,
                                  const Expected& expected) {
  detect::require_prompt(impl_->profile, prompt);
  detect::require_text(impl_->profile, answer);
  impl_->require_expected(answer, expected);
  const distill::Contexts known = distill::contexts_in(prompt, impl_->width);
  for (std::size_t i = impl_->width; i < answer.size(); ++i) {
    const keys::Block context = impl_->context_before(answer, i);
    if (known.contains(context)) continue;
    const TokenProbability said = {answer[i], 1.0};
    impl_->add(context, {&said, 1}, expected, i);
  }
  impl_->end_text();
}

void DistillationTest::Impl::require_rows(const char* what, std::span<const TokenId> tokens,
                                          Predictions rows, bool has_end) const {
  detect::require_text(profile, tokens);
  if (rows.size() != tokens.size() + (has_end ? 1 : 0)) {
    fail(ErrorCode::SizeMismatch, "the text has ", tokens.size(), " tokens, and there are ",
         rows.size(), " rows of ", what);
  }
  const std::int64_t limit = profiles::id_limit(profile);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const TokenProbability& p : rows[i]) {
      if (p.token < 0 || p.token >= limit) {
        fail(ErrorCode::TokenOutOfRange, "row ", i, " of ", what, " has token ", p.token,
             ", but the profile has ids 0..", limit - 1);
      }
      if (!(p.probability >= 0.0 && p.probability <= 1.001)) {
        fail(ErrorCode::InvalidProbability, "row ", i, " of ", what, " gives token ", p.token,
             " the probability ", p.probability, ", which must be in [0, 1]");
      }
    }
  }
}

void DistillationTest::Impl::require_expected(std::span<const TokenId> tokens,
                                              const Expected& expected, bool has_end) const {
  if (expected) require_rows("expected", tokens, *expected, has_end);
  if (positions > 0 && expected.has_value() == tables.expected.empty()) {
    fail(ErrorCode::InvalidOption,
         "either all texts come with what is expected of them, or none does: this one has ",
         expected ? "it" : "none", ", and those before it have ", expected ? "none" : "it");
  }
}

void DistillationTest::Impl::add(const keys::Block& context,
                                 std::span<const TokenProbability> shown, const Expected& expected,
                                 std::size_t i) {
  tables.counts.add_place(context);
  for (const TokenProbability& p : shown) {
    if (p.probability >= least_probability) tables.counts.add(context, p.token, p.probability);
  }
  if (expected) {
    tables.expected.add_place(context);
    for (const TokenProbability& p : (*expected)[i]) {
      if (p.probability >= least_probability) tables.expected.add(context, p.token, p.probability);
    }
  }
  ++positions;
}

Mask DistillationTest::Impl::mask(const distill::WeightedPairs& pairs,
                                  const distill::PairDraws& draws) const {
  Mask mask(pairs.contexts.size(), true);
  if (!options.ledger) return mask;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    mask[i] =
        options.ledger->impl().contains(draws.seeds()[i]) || served.contains(pairs.contexts[i]);
  }
  return mask;
}

void DistillationTest::Impl::require_reference() const {
  if (needs_reference() && !tables.has_reference()) {
    fail(ErrorCode::EmptyText,
         "these weights need something to expect by: add_reference() texts that do not know the "
         "key, or give a model's predictions with each text");
  }
}

void DistillationTest::Impl::end_text() {
  ++texts;
  if (!options.sequential || positions < positions_at(next_look)) return;
  if (needs_reference() && !tables.has_reference()) return;
  // What a long text has jumped over is spent.
  while (positions >= positions_at(next_look + 1)) ++next_look;
  const distill::WeightedPairs pairs = weighted();
  const distill::PairDraws draws(mark, pairs);
  const Evidence evidence = test_under(draws, pairs, mask(pairs, draws), tilts(pairs));
  looks.push_back({positions, evidence.scored,
                   key_decides() ? std::min(0.0, -evidence.log10_e) : evidence.log10_p,
                   evidence.log10_e, share_of(next_look)});
  ++next_look;
}

void DistillationTest::add_reading(std::span<const TokenId> tokens, Predictions rows,
                                   const Expected& expected) {
  impl_->require_rows("predictions", tokens, rows);
  impl_->require_expected(tokens, expected);
  distill::Contexts known;
  for (std::size_t i = impl_->width; i < tokens.size(); ++i) {
    const keys::Block context = impl_->context_before(tokens, i);
    if (known.insert(context).second) impl_->add(context, rows[i], expected, i);
  }
  impl_->end_text();
}

void DistillationTest::add_served_reading(std::span<const TokenId> tokens, Predictions rows,
                                          const Expected& expected) {
  impl_->require_ours("served responses are read for");
  const bool has_end = rows.size() == tokens.size() + 1;
  impl_->require_rows("predictions", tokens, rows, has_end);
  impl_->require_expected(tokens, expected, has_end);
  // Whether a context comes up at all may hang on the scores of those before it, but never on its
  // own: taken in the order in which they first chose a token, the scores are fresh, and a product
  // of e-values holds. A weight that grew with later texts would undo that.
  impl_->each_marked(tokens, [&](std::size_t i) {
    const keys::Block context = impl_->context_before(tokens, i);
    if (!impl_->served.insert(context).second) return;
    if (i < rows.size()) impl_->add(context, rows[i], expected, i);
  });
  impl_->end_text();
}

void DistillationTest::add_reference(std::span<const TokenId> tokens) {
  detect::require_text(impl_->profile, tokens);
  for (std::size_t i = impl_->width; i < tokens.size(); ++i) {
    const keys::Block context = impl_->context_before(tokens, i);
    impl_->tables.reference.add_place(context);
    impl_->tables.reference.add(context, tokens[i], 1.0);
  }
}

std::size_t DistillationTest::positions() const noexcept { return impl_->positions; }

std::size_t DistillationTest::positions_at(std::size_t look) noexcept {
  return static_cast<std::size_t>(4096.0 * std::exp2(0.5 * static_cast<double>(look)));
}

void DistillationTest::add_log(std::uint64_t account, std::span<const TokenId> response) {
  impl_->require_ours("accounts are found by the logs of");
  detect::require_text(impl_->profile, response);
  impl_->logs.add_account(account);
  impl_->each_marked(response, [&](std::size_t i) {
    impl_->logs.add(account, impl_->context_before(response, i));
  });
}

LearnedAccounts DistillationTest::learned_accounts(double false_discovery_rate) const {
  impl_->require_ours("accounts are found by the logs of");
  detect::log10_threshold("false_discovery_rate", false_discovery_rate);
  impl_->require_reference();
  const distill::WeightedPairs pairs = impl_->weighted();
  const std::vector<keys::Seed> seeds = impl_->mark.ours()->narrow_seeds(pairs.contexts);
  struct Learned {
    LearnedAccount told;
    std::array<stats::Sum, std::size(fixed_tilts)> log_products;
  };
  std::unordered_map<std::uint64_t, Learned> learned;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const auto owner = impl_->logs.owner(pairs.contexts[i]);
    if (!owner) continue;
    Learned& account = learned[*owner];
    ++account.told.contexts;
    const marks::TokenHash hash{seeds[i], {}};
    for (std::size_t k = pairs.begins[i]; k < pairs.begins[i + 1]; ++k) {
      const distill::WeightedPairs::Kind& kind = pairs.kinds[pairs.pairs[k].kind];
      const double score = prf::score(hash(pairs.pairs[k].token));
      for (std::size_t t = 0; t < std::size(fixed_tilts); ++t) {
        const double tilt = stats::term_tilt(fixed_tilts[t], kind.weight);
        account.log_products[t].add(tilt * score + std::log1p(-tilt));
      }
      ++account.told.scored;
    }
  }

  LearnedAccounts result;
  result.tested = impl_->logs.accounts();
  for (auto& [id, account] : learned) {
    std::vector<double> log10_products;
    for (const stats::Sum& sum : account.log_products) {
      log10_products.push_back(sum.value() / std::numbers::ln10);
    }
    account.told.account = id;
    account.told.log10_e = stats::log10_mean(log10_products);
    if (account.told.log10_e > 0.0) result.accounts.push_back(account.told);
  }
  std::sort(result.accounts.begin(), result.accounts.end(),
            [](const LearnedAccount& a, const LearnedAccount& b) {
              return std::pair(-a.log10_e, a.account) < std::pair(-b.log10_e, b.account);
            });
  std::vector<double> log10_e;
  for (const LearnedAccount& account : result.accounts) log10_e.push_back(account.log10_e);
  result.discovered = stats::e_bh_discoveries(log10_e, result.tested, false_discovery_rate);
  for (std::size_t i = 0; i < result.discovered; ++i) result.accounts[i].is_discovered = true;
  if (result.discovered > 0) result.log10_e_least = log10_e[result.discovered - 1];
  return result;
}

DistillationResult DistillationTest::result() const {
  const DistillationOptions& options = impl_->options;
  impl_->require_reference();
  const distill::WeightedPairs pairs = impl_->weighted();
  const std::vector<double> tilts = impl_->tilts(pairs);
  const distill::PairDraws draws(impl_->mark, pairs);
  const Mask mask = impl_->mask(pairs, draws);
  DistillationResult result;
  result.texts = impl_->texts;
  result.positions = impl_->positions;
  const Evidence evidence = test_under(draws, pairs, mask, tilts);
  result.scored = evidence.scored;

  std::vector<double> decoys(options.decoys);
  base::Workers(options.threads).run(decoys.size(), [&](std::size_t i) {
    const distill::PairDraws decoy(impl_->mark.decoy(i), pairs);
    decoys[i] = test_under(decoy, pairs, mask, tilts).log10_p;
  });
  DecoyRank rank = detect::rank_among(evidence.log10_p, std::move(decoys));
  result.decoys = std::move(rank.decoys);
  result.decoy_rank = rank.rank;
  result.decoys_agree = rank.agrees;
  if (!impl_->key_decides() && !options.sequential) result.log10_rank_p = rank.log10_rank_p;

  result.looks = impl_->looks;
  result.log10_e = options.sequential ? log10_e_of(impl_->looks) : evidence.log10_e;
  if (impl_->key_decides()) {
    result.log10_p = std::min(0.0, -result.log10_e);
  } else {
    result.log10_p = options.sequential ? log10_p_of(impl_->looks) : evidence.log10_p;
  }
  return result;
}

}  // namespace countermark
