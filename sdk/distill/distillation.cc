#include "countermark/distillation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/fail.h"
#include "base/workers.h"
#include "detect/correction.h"
#include "detect/input.h"
#include "distill/pair_counts.h"
#include "distill/weighted_pairs.h"
#include "keys/derivation.h"
#include "marks/countermark_1.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "stats/sum.h"
#include "stats/weighted_tail.h"

namespace countermark {
namespace {

/// The tilts of the e-value, in standard deviations of the sum, and the most of what the largest
/// weight allows.
constexpr double tilts_in_deviations[] = {0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0};
constexpr double most_of_limit = 0.5;

/// Less than this a prediction is not worth its memory.
constexpr double least_probability = 1e-4;

/// The tilts follow from the weights alone: which contexts are narrow is the key's.
std::vector<double> tilts_for(const distill::WeightedPairs& pairs, double narrow_share) {
  const double deviation = std::sqrt(pairs.squares() * narrow_share);
  const double largest =
      pairs.weights.empty() ? 0.0 : *std::max_element(pairs.weights.begin(), pairs.weights.end());
  std::vector<double> tilts;
  for (const double tilt : tilts_in_deviations) {
    double theta = deviation > 0.0 ? tilt / deviation : 0.0;
    if (largest > 0.0) theta = std::min(theta, most_of_limit / largest);
    tilts.push_back(theta);
  }
  return tilts;
}

struct Evidence {
  std::size_t scored = 0;
  double log10_p = 0.0, log10_e = 0.0;
};

/// Which pairs count follows from the seeds, and given those the scores are independent.
Evidence test_under(const marks::Countermark1& mark, const distill::WeightedPairs& pairs,
                    std::span<const double> tilts) {
  const std::vector<keys::Seed> seeds = mark.narrow_seeds(pairs.contexts);
  std::vector<stats::WeightedTerms> terms;
  for (const double weight : pairs.weights) terms.push_back({weight, 0});
  Evidence evidence;
  stats::Sum sum;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    if (!mark.parameters().is_narrow(seeds[i])) continue;
    const marks::TokenHash hash{seeds[i], {}};
    for (std::size_t k = pairs.begins[i]; k < pairs.begins[i + 1]; ++k) {
      const distill::WeightedPairs::Pair& pair = pairs.pairs[k];
      sum.add(pairs.weights[pair.weight] * prf::score(hash(pair.token)));
      ++terms[pair.weight].count;
      ++evidence.scored;
    }
  }
  if (evidence.scored == 0) return evidence;
  evidence.log10_p = stats::log10_weighted_tail(terms, sum.value());
  evidence.log10_e = stats::log10_weighted_e_value(terms, tilts, sum.value());
  return evidence;
}

}  // namespace

struct DistillationTest::Impl {
  keys::Secret secret;
  Profile profile;
  marks::Countermark1Parameters parameters;
  DistillationOptions options;
  distill::PairCounts counts, reference;
  std::size_t texts = 0, positions = 0;

  std::size_t width() const { return static_cast<std::size_t>(parameters.narrow_width); }
  keys::Block context_before(std::span<const TokenId> tokens, std::size_t i) const {
    return marks::context_of(tokens.first(i), parameters.narrow_width);
  }
};

DistillationTest::DistillationTest(const KeyRing& ring, std::string_view profile_id,
                                   const DistillationOptions& options) {
  const auto [entry, profile] = ring.impl().find(profile_id);
  if (profiles::is_engine(*profile)) {
    fail(ErrorCode::UnknownMark, "profile \"", profile_id, "\" has the mark ", profile->mark(),
         "; models are tested for countermark/1");
  }
  const marks::Countermark1Parameters parameters = profiles::parameters_of(*profile);
  if (parameters.narrow_units == 0) {
    fail(ErrorCode::InvalidOption, "profile \"", profile_id,
         "\" has no narrow layer, and the wide one is not learned: narrow_units is 0");
  }
  constexpr std::size_t most = 100'000;
  if (options.decoys > most) {
    fail(ErrorCode::InvalidOption, "decoys must be in 0..", most, ", got ", options.decoys);
  }
  impl_ = std::make_unique<Impl>(Impl{entry->secret, *profile, parameters, options, {}, {}, 0, 0});
}

DistillationTest::DistillationTest(DistillationTest&&) noexcept = default;
DistillationTest& DistillationTest::operator=(DistillationTest&&) noexcept = default;
DistillationTest::~DistillationTest() = default;

void DistillationTest::add_answer(std::span<const TokenId> prompt,
                                  std::span<const TokenId> answer) {
  detect::require_prompt(impl_->profile, prompt);
  detect::require_text(impl_->profile, answer);
  const distill::Contexts known = distill::contexts_in(prompt, impl_->width());
  for (std::size_t i = impl_->width(); i < answer.size(); ++i) {
    const keys::Block context = impl_->context_before(answer, i);
    if (known.contains(context)) continue;
    impl_->counts.add(context, answer[i], 1.0);
    ++impl_->positions;
  }
  ++impl_->texts;
}

void DistillationTest::add_reading(std::span<const TokenId> tokens,
                                   std::span<const std::span<const TokenProbability>> rows) {
  detect::require_text(impl_->profile, tokens);
  if (rows.size() != tokens.size()) {
    fail(ErrorCode::SizeMismatch, "the text has ", tokens.size(), " tokens, and there are ",
         rows.size(), " rows of predictions");
  }
  const std::int64_t limit = profiles::id_limit(impl_->profile);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const TokenProbability& p : rows[i]) {
      if (p.token < 0 || p.token >= limit) {
        fail(ErrorCode::TokenOutOfRange, "row ", i, " predicts token ", p.token,
             ", but the profile has ids 0..", limit - 1);
      }
      if (!(p.probability >= 0.0 && p.probability <= 1.001)) {
        fail(ErrorCode::InvalidProbability, "row ", i, " gives token ", p.token,
             " the probability ", p.probability, ", which must be in [0, 1]");
      }
    }
  }
  distill::Contexts known;
  for (std::size_t i = impl_->width(); i < tokens.size(); ++i) {
    const keys::Block context = impl_->context_before(tokens, i);
    if (!known.insert(context).second) continue;
    for (const TokenProbability& p : rows[i]) {
      if (p.probability >= least_probability) {
        impl_->counts.add(context, p.token, p.probability);
      }
    }
    ++impl_->positions;
  }
  ++impl_->texts;
}

void DistillationTest::add_reference(std::span<const TokenId> tokens) {
  detect::require_text(impl_->profile, tokens);
  for (std::size_t i = impl_->width(); i < tokens.size(); ++i) {
    impl_->reference.add(impl_->context_before(tokens, i), tokens[i], 1.0);
  }
}

DistillationResult DistillationTest::result() const {
  const DistillationOptions& options = impl_->options;
  if (options.weights == PairWeights::Reference && impl_->reference.empty()) {
    fail(ErrorCode::EmptyText,
         "weights by a reference need one: add_reference() texts that do not know the key");
  }
  const distill::WeightedPairs pairs =
      distill::weigh(impl_->counts, impl_->reference, options.weights);
  const std::vector<double> tilts =
      tilts_for(pairs, static_cast<double>(impl_->parameters.narrow_units) / 65536.0);
  DistillationResult result;
  result.texts = impl_->texts;
  result.positions = impl_->positions;
  const Evidence evidence =
      test_under(marks::Countermark1(impl_->secret, impl_->parameters), pairs, tilts);
  result.scored = evidence.scored;
  result.log10_p = evidence.log10_p;
  result.log10_e = evidence.log10_e;

  std::vector<double> decoys(options.decoys);
  base::Workers(options.threads).run(decoys.size(), [&](std::size_t i) {
    const keys::Secret decoy = keys::derive(impl_->secret, "decoy/" + std::to_string(i));
    decoys[i] = test_under(marks::Countermark1(decoy, impl_->parameters), pairs, tilts).log10_p;
  });
  DecoyRank rank = detect::rank_among(evidence.log10_p, std::move(decoys));
  result.decoys = std::move(rank.decoys);
  result.decoy_rank = rank.rank;
  result.log10_rank_p = rank.log10_rank_p;
  result.decoys_agree = rank.agrees;
  return result;
}

}  // namespace countermark
