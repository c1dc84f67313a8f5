#include "countermark/replay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "detect/correction.h"
#include "embed/candidates.h"
#include "kernels/kernels.h"
#include "marks/countermark_1.h"
#include "prf/mix.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "replay/draw_evidence.h"
#include "stats/sum.h"

namespace countermark {
namespace {

constexpr double not_scored = std::numeric_limits<double>::quiet_NaN();

/// What a distribution says of one token.
struct View {
  /// 0 where the token is no candidate.
  double probability = 0.0;
  double entropy_nats = 0.0;
};

/// `candidates` have weights up to scale.
View look(std::span<const embed::Candidate> candidates, TokenId token) {
  double total = 0.0, weighted_logs = 0.0, of_token = 0.0;
  for (const embed::Candidate& c : candidates) {
    total += c.weight;
    weighted_logs += c.weight * std::log(c.weight);
    if (c.token == token) of_token = c.weight;
  }
  return {of_token / total, std::max(0.0, std::log(total) - weighted_logs / total)};
}

/// What a token says of a key; the score is NaN where it says nothing.
struct Draw {
  double hit = 0.0;
  double score = not_scored;
  double entropy_nats = 0.0;
};

/// One profile's response.
struct Run {
  Profile profile;
  marks::Countermark1 mark;
  std::optional<keys::AccountKey> account;
  marks::Walk walk;

  DrawEvidence evidence;
  std::size_t scored = 0;
  stats::Sum score = {};
  stats::Sum entropy_nats = {};
  std::vector<double> token_scores = {};

  /// What a token says at the next position, given what it was drawn from.
  Draw draw(std::span<const embed::Candidate> candidates, TokenId token) const {
    if (!walk.next_is_marked() || candidates.size() < 2) return {};
    const View view = look(candidates, token);
    // A token that could not be drawn says nothing, and a certain one neither.
    if (view.probability <= 0.0) return {};
    const marks::Place& place = walk.next();
    marks::TokenHash hash;
    hash.seed = place.seed;
    if (place.layer == marks::Layer::Wide) hash.account = account;
    marks::Selection selection;
    for (const embed::Candidate& c : candidates) {
      selection.offer_hash(c.token, hash(c.token), c.weight);
    }
    const double hit = selection.token() == token ? 1.0 / view.probability : 0.0;
    return {hit, prf::score(hash(token)), view.entropy_nats};
  }

  void take(const Draw& draw) {
    token_scores.push_back(draw.score);
    if (std::isnan(draw.score)) return;
    evidence.add(draw.hit);
    ++scored;
    score.add(draw.score);
    entropy_nats.add(draw.entropy_nats);
  }
};

}  // namespace

struct Replay::Impl {
  std::vector<Run> runs;
  SamplingOptions sampling;
  double log10_threshold;
  embed::Scratch scratch;
  std::size_t tokens = 0;

  ErrorCode check(TokenId token) const noexcept;
  /// `draws` has what the token says of each run's key.
  ErrorCode observe(TokenId token, std::span<const Draw> draws);
  /// Fills scratch.candidates from the first `size` logits.
  ErrorCode find_candidates(Logits logits, std::size_t size);
};

ErrorCode Replay::Impl::check(TokenId token) const noexcept {
  const bool fits = std::all_of(runs.begin(), runs.end(), [&](const Run& run) {
    return token >= 0 && static_cast<std::int64_t>(token) < profiles::id_limit(run.profile);
  });
  return fits ? ErrorCode::Ok : ErrorCode::TokenOutOfRange;
}

ErrorCode Replay::Impl::find_candidates(Logits logits, std::size_t size) {
  const embed::BlockedRow row(kernels::active(), logits, size);
  if (sampling.temperature == 0.0) {
    TokenId token = 0;
    scratch.candidates.clear();
    return embed::greedy_from_logits(row, scratch, token);
  }
  return embed::candidates_from_logits(row, sampling, scratch);
}

ErrorCode Replay::Impl::observe(TokenId token, std::span<const Draw> draws) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ErrorCode code = runs[i].walk.observe(token);
    if (code == ErrorCode::Ok) continue;
    while (i-- > 0) runs[i].walk.rollback(1);
    return code;
  }
  for (std::size_t i = 0; i < runs.size(); ++i) runs[i].take(draws[i]);
  ++tokens;
  return ErrorCode::Ok;
}

Replay::Replay(const KeyRing& ring, std::span<const std::string> profile_ids,
               const ReplayOptions& options)
    : impl_(std::make_unique<Impl>()) {
  if (!embed::is_valid(options.sampling)) {
    fail(ErrorCode::InvalidOption, error_description(ErrorCode::InvalidOption));
  }
  if (!(options.epsilon > 0.0 && options.epsilon < 1.0)) {
    fail(ErrorCode::InvalidOption, "epsilon must be in (0, 1), got ", options.epsilon);
  }
  impl_->log10_threshold =
      detect::log10_threshold("false_positive_rate", options.false_positive_rate);
  bool takes_account = false;
  for (const auto& [entry, profile] : ring.impl().find_all(profile_ids)) {
    const marks::Countermark1 mark(entry->secret, profiles::parameters_of(*profile));
    std::optional<keys::AccountKey> account;
    if (options.account && profile->has_accounts()) {
      account = mark.account_key(*options.account);
      takes_account = true;
    }
    impl_->runs.push_back(
        {*profile, mark, account, marks::Walk(mark), DrawEvidence(options.epsilon)});
  }
  if (options.account && !takes_account) {
    fail(ErrorCode::AccountMismatch, "an account was given, and no profile replayed has accounts");
  }
  impl_->sampling = options.sampling;
}

Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;
Replay::~Replay() = default;

ErrorCode Replay::observe(TokenId token) {
  if (const ErrorCode code = impl_->check(token); code != ErrorCode::Ok) return code;
  return impl_->observe(token, std::vector<Draw>(impl_->runs.size()));
}

ErrorCode Replay::observe(Logits logits, TokenId token) {
  if (const ErrorCode code = impl_->check(token); code != ErrorCode::Ok) return code;
  // Nothing is changed before every profile has taken the row.
  std::vector<Draw> draws;
  std::optional<std::size_t> seen;
  for (const Run& run : impl_->runs) {
    std::size_t size = 0;
    ErrorCode code = embed::row_size(logits, run.profile.tokenizer(), size);
    if (code == ErrorCode::Ok && seen != size) code = impl_->find_candidates(logits, size);
    if (code != ErrorCode::Ok) return code;
    seen = size;
    draws.push_back(run.draw(impl_->scratch.candidates, token));
  }
  return impl_->observe(token, draws);
}

Detection Replay::detection() const {
  if (impl_->tokens == 0) {
    fail(ErrorCode::EmptyText, "the response is empty: there is no token to replay");
  }
  Detection detection;
  detection.log10_threshold = impl_->log10_threshold;
  for (const Run& run : impl_->runs) {
    ProfileResult result;
    result.profile = run.profile.id();
    result.scored = run.scored;
    result.score = run.score.value();
    result.log10_p = -run.evidence.largest_log10_e();
    result.log10_e = run.evidence.log10_e();
    result.start = Start::Response;
    result.tests = {{Statistic::Replay, 1.0, result.log10_p}};
    detection.results.push_back(std::move(result));
  }
  detect::correct(detection);
  const Run& best = impl_->runs[detection.best];
  detection.token_scores = best.token_scores;
  detection.entropy_bits = best.entropy_nats.value() / std::numbers::ln2;
  if (detection.verdict == Verdict::Marked) return detection;
  // A marked response's e-value is about its entropy.
  const double expected = *detection.entropy_bits * std::log10(2.0);
  const double bar =
      std::log10(static_cast<double>(impl_->runs.size())) - detection.log10_threshold;
  if (expected >= bar) {
    detection.verdict = Verdict::NotMarkedByTheseKeys;
    return detection;
  }
  detection.verdict = Verdict::Insufficient;
  detection.tokens_to_decide.reset();
  if (expected > 0.0) {
    const double longer = bar / expected;
    detection.tokens_to_decide =
        static_cast<std::size_t>(std::ceil((longer - 1.0) * static_cast<double>(impl_->tokens)));
  }
  return detection;
}

}  // namespace countermark
