#include "countermark/sequence.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "embed/random_seed.h"
#include "embed/sequence_impl.h"
#include "profiles/profile_impl.h"
#include "stats/harmonic.h"
#include "stats/nested_tail.h"
#include "stats/sum.h"

namespace countermark {
namespace {

/// Room for a row's candidates, kept by the thread: a batch of rows needs no more than one.
std::vector<embed::Candidate>& scratch() {
  thread_local std::vector<embed::Candidate> candidates;
  return candidates;
}

}  // namespace

Sequence::Impl::Impl(std::shared_ptr<const Sampler::Impl> from,
                     std::optional<keys::AccountKey> account_key, std::uint64_t free_seed)
    : sampler(std::move(from)), account(account_key), seed(free_seed), walk(sampler->mark) {}

bool Sequence::Impl::is_marked_position() const noexcept {
  return walk.next().layer != marks::Layer::Free && !sampler->mark.in_free_prefix(walk.size());
}

marks::TokenHash Sequence::Impl::hash() const noexcept {
  if (is_marked_position()) {
    const marks::Place& place = walk.next();
    return {place.seed, place.layer == marks::Layer::Wide ? account : std::nullopt};
  }
  // A free draw is Gumbel-max too, under keys of this response's own.
  const std::array<std::uint64_t, 2> position = {walk.size(), attempt};
  const XXH128_hash_t keys = XXH3_128bits_withSeed(position.data(), sizeof position, seed);
  return {{keys.low64, keys.high64}, std::nullopt};
}

void Sequence::Impl::keep_greedy(TokenId token) noexcept {
  pending.selected = true;
  pending.token = token;
  pending.record = {Kind::Greedy, 0.0F, 1.0};
}

void Sequence::Impl::keep_draw(std::span<const embed::Candidate> candidates) noexcept {
  if (candidates.size() == 1) return keep_greedy(candidates.front().token);
  const marks::TokenHash hash_of = hash();
  marks::Selection selection;
  double total = 0.0;
  double weighted_logs = 0.0;
  double chosen_weight = 0.0;
  for (const auto& [token, weight] : candidates) {
    selection.offer(token, prf::exponential(hash_of(token)), weight);
    if (selection.token() == token) chosen_weight = weight;
    total += weight;
    weighted_logs += weight * std::log(weight);
  }
  if (!(total > 1e-290 && total < HUGE_VAL)) {
    // Weights at the ends of what a double holds: their sums are taken anew, of shares of the
    // largest.
    double largest = 0.0;
    for (const embed::Candidate& c : candidates) largest = std::max(largest, c.weight);
    total = weighted_logs = 0.0;
    for (const embed::Candidate& c : candidates) {
      const double share = c.weight / largest;
      total += share;
      if (share > 0.0) weighted_logs += share * std::log(share);
    }
    chosen_weight /= largest;
  }
  const double entropy = std::log(total) - weighted_logs / total;
  pending.selected = true;
  pending.token = selection.token();
  pending.record = {is_marked_position() ? Kind::Marked : Kind::Free,
                    static_cast<float>(std::max(0.0, entropy)), chosen_weight / total};
}

ErrorCode Sequence::Impl::select(Logits logits, const SamplingOptions& options) {
  if (!embed::is_valid(options)) return ErrorCode::InvalidOption;
  const auto& tokenizer = sampler->profile.tokenizer();
  const auto vocab_size =
      tokenizer ? tokenizer->vocab_size : static_cast<std::int64_t>(logits.size());
  if (options.temperature == 0.0) {
    TokenId token = 0;
    const ErrorCode code = embed::greedy_from_logits(logits, vocab_size, token);
    if (code == ErrorCode::Ok) keep_greedy(token);
    return code;
  }
  auto& candidates = scratch();
  const ErrorCode code = embed::candidates_from_logits(logits, vocab_size, options, candidates);
  if (code == ErrorCode::Ok) keep_draw(candidates);
  return code;
}

ErrorCode Sequence::Impl::select_candidates(std::span<const TokenId> ids,
                                            std::span<const double> weights) {
  auto& candidates = scratch();
  const ErrorCode code = embed::candidates_from_weights(
      ids, weights, profiles::id_limit(sampler->profile), candidates);
  if (code == ErrorCode::Ok) keep_draw(candidates);
  return code;
}

bool Sequence::Impl::in_vocabulary(TokenId token) const noexcept {
  return token >= 0 && static_cast<std::int64_t>(token) < profiles::id_limit(sampler->profile);
}

ErrorCode Sequence::Impl::observe(TokenId token) {
  if (!in_vocabulary(token)) return ErrorCode::TokenOutOfRange;
  Record record;
  if (pending.selected && pending.token == token) {
    record = pending.record;
  } else if (pending.placed) {
    record.kind = is_marked_position() ? Kind::Marked : Kind::Free;
  }
  records.push_back(record);
  ErrorCode code = ErrorCode::Ok;
  try {
    code = walk.observe(token);
  } catch (...) {
    records.pop_back();
    throw;
  }
  if (code != ErrorCode::Ok) {
    records.pop_back();
    return code;
  }
  pending = {};
  return ErrorCode::Ok;
}

void Sequence::Impl::rollback(std::size_t count) noexcept {
  if (count == 0 || records.empty()) return;
  walk.rollback(count);
  records.resize(walk.size());
  pending = {};
  ++attempt;
}

void Sequence::Impl::undo_observe() noexcept {
  walk.rollback(1);
  records.pop_back();
}

Sequence::Sequence(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Sequence::Sequence(Sequence&&) noexcept = default;
Sequence& Sequence::operator=(Sequence&&) noexcept = default;
Sequence::~Sequence() = default;

ErrorCode Sequence::select(Logits logits, const SamplingOptions& options, TokenId& token) const {
  const ErrorCode code = impl_->select(logits, options);
  if (code == ErrorCode::Ok) token = impl_->pending.token;
  return code;
}

ErrorCode Sequence::select_candidates(std::span<const TokenId> ids, std::span<const double> weights,
                                      TokenId& token) const {
  const ErrorCode code = impl_->select_candidates(ids, weights);
  if (code == ErrorCode::Ok) token = impl_->pending.token;
  return code;
}

ErrorCode Sequence::observe(TokenId token) { return impl_->observe(token); }

ErrorCode Sequence::sample(Logits logits, const SamplingOptions& options, TokenId& token) {
  TokenId selected = 0;
  ErrorCode code = select(logits, options, selected);
  if (code == ErrorCode::Ok) code = observe(selected);
  if (code == ErrorCode::Ok) token = selected;
  return code;
}

void Sequence::rollback(std::size_t count) noexcept { impl_->rollback(count); }

Sequence Sequence::fork(std::optional<std::uint64_t> seed) const {
  auto copy = std::make_unique<Impl>(*impl_);
  copy->seed = seed ? *seed : embed::random_seed();
  copy->attempt = 0;
  // What was selected for the next position was drawn with the old seed.
  copy->pending = {};
  return Sequence(std::move(copy));
}

Placement Sequence::placement() const noexcept {
  impl_->pending.placed = true;
  if (!impl_->is_marked_position()) return {};
  const marks::Place& place = impl_->walk.next();
  Placement result;
  result.layer = static_cast<Layer>(place.layer);
  result.k1 = place.seed.k1;
  result.k2 = place.seed.k2;
  if (place.layer == marks::Layer::Wide && impl_->account) {
    result.layer = Layer::WideAccount;
    result.a1 = impl_->account->a1;
    result.a2 = impl_->account->a2;
  }
  return result;
}

std::size_t Sequence::size() const noexcept { return impl_->walk.size(); }

std::span<const TokenId> Sequence::tokens() const noexcept { return impl_->walk.tokens(); }

SequenceStats Sequence::stats() const {
  using Kind = Impl::Kind;
  SequenceStats stats;
  stats.tokens = size();
  const bool accounts = impl_->sampler->profile.has_accounts();
  // Sum and number of the scores of "ours", of the whole text and without the free prefix.
  stats::Sum all, rest;
  std::size_t all_scored = 0, rest_scored = 0;
  for (std::size_t i = 0; i < stats.tokens; ++i) {
    const Impl::Record& record = impl_->records[i];
    stats.marked += record.kind == Kind::Marked;
    stats.free += record.kind == Kind::Free;
    stats.greedy += record.kind == Kind::Greedy;
    stats.forced += record.kind == Kind::Forced;
    stats.entropy_bits += record.entropy_nats / std::numbers::ln2;

    const marks::Layer layer = impl_->walk.places()[i].layer;
    if (layer == marks::Layer::Free || (accounts && layer == marks::Layer::Wide)) continue;
    const double score =
        record.kind == Kind::Marked ? stats::harmonic(1.0 / record.probability) : 1.0;
    all.add(score);
    ++all_scored;
    if (impl_->sampler->mark.in_free_prefix(i)) continue;
    rest.add(score);
    ++rest_scored;
  }
  if (stats.marked > 0) {
    stats.expected_log10_p =
        stats::log10_nested_tail(rest_scored, rest.value(), all_scored, all.value());
  }
  return stats;
}

}  // namespace countermark
