#include "countermark/sequence.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "embed/random_seed.h"
#include "embed/sequence_impl.h"
#include "ledger/ledger_impl.h"
#include "profiles/profile_impl.h"
#include "stats/harmonic.h"
#include "stats/nested_tail.h"
#include "stats/sum.h"

namespace countermark {
namespace {

/// Room for one row, kept by the thread: a batch of rows needs no more.
embed::Scratch& scratch() {
  thread_local embed::Scratch room;
  return room;
}

/// Rows shorter than this are cheap enough to weigh every token.
constexpr std::size_t short_row = 512;
/// From here on summing up a row costs as much as the draw, and is done at every sixteenth
/// position.
constexpr std::size_t long_row = 16384;
constexpr std::size_t measured_every = 16;

class Mean {
 public:
  void add(double x) noexcept {
    sum_ += x;
    ++count_;
  }
  double value_or(double otherwise) const noexcept {
    return count_ == 0 ? otherwise : sum_ / static_cast<double>(count_);
  }

 private:
  double sum_ = 0.0;
  std::size_t count_ = 0;
};

}  // namespace

Sequence::Impl::Impl(std::shared_ptr<const Sampler::Impl> from, embed::Response response_so_far,
                     std::optional<keys::AccountKey> account_key, std::uint64_t free_seed)
    : sampler(std::move(from)),
      account(account_key),
      seed(free_seed),
      response(std::move(response_so_far)) {}

// At the end: many contexts at once cost little.
Sequence::Impl::~Impl() { tell_ledger(0); }

void Sequence::Impl::tell_ledger(std::size_t begin) noexcept {
  if (!sampler->ledger) return;
  const marks::Walk& walk = *response.ours();
  Ledger::Impl& ledger = sampler->ledger->impl();
  ledger.record(walk.places().subspan(begin),
                [&](std::size_t i) { return records[begin + i].was_drawn; });
  if (pending.was_drawn) ledger.record({&walk.next(), 1}, [](std::size_t) { return true; });
}

Sequence::Impl::Kind Sequence::Impl::drawn_kind() const noexcept {
  return response.ours()->next_is_marked() ? Kind::Marked : Kind::Free;
}

marks::TokenHash Sequence::Impl::hash() const noexcept {
  const marks::Walk& walk = *response.ours();
  if (!walk.next_is_marked()) return free_hash();
  const marks::Place& place = walk.next();
  return {place.seed, place.layer == marks::Layer::Wide ? account : std::nullopt};
}

marks::TokenHash Sequence::Impl::free_hash() const noexcept {
  // A free draw is Gumbel-max too, under keys of this response's own.
  const std::array<std::uint64_t, 2> position = {response.size(), attempt};
  const XXH128_hash_t keys = XXH3_128bits_withSeed(position.data(), sizeof position, seed);
  return {{keys.low64, keys.high64}, std::nullopt};
}

void Sequence::Impl::keep_greedy(TokenId token) noexcept {
  pending.selected = true;
  pending.takes_part = false;
  pending.token = token;
  pending.record = {Kind::Greedy};
}

void Sequence::Impl::keep_draw(std::span<const embed::Candidate> candidates) noexcept {
  if (candidates.size() == 1) return keep_greedy(candidates.front().token);
  const marks::TokenHash hash_of = hash();
  marks::Selection selection;
  double total = 0.0;
  double weighted_logs = 0.0;
  double chosen_weight = 0.0;
  for (const auto& [token, weight] : candidates) {
    if (selection.offer_hash(token, hash_of(token), weight)) chosen_weight = weight;
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
  pending.record = {drawn_kind(), Sight::Measured, false,
                    static_cast<float>(std::max(0.0, entropy)), chosen_weight / total};
  pending.was_drawn |= pending.record.kind == Kind::Marked;
}

void Sequence::Impl::keep_engine_draw(std::span<embed::Candidate> candidates, bool is_biased) {
  const marks::EngineWalk& engine = *response.engine();
  if (candidates.size() == 1) {
    keep_greedy(candidates.front().token);
    pending.takes_part = engine.is_marked(candidates);
    return;
  }
  // As shares of the largest, so that no sum overflows or is 0.
  double largest = 0.0;
  for (const embed::Candidate& c : candidates) largest = std::max(largest, c.weight);
  double total = 0.0, weighted_logs = 0.0;
  for (embed::Candidate& c : candidates) {
    c.weight /= largest;
    total += c.weight;
    if (c.weight > 0.0) weighted_logs += c.weight * std::log(c.weight);
  }
  const auto keep = [&](TokenId token, Kind kind, double share) {
    pending.selected = true;
    pending.takes_part = false;
    pending.token = token;
    const double entropy = std::max(0.0, std::log(total) - weighted_logs / total);
    pending.record = {kind, Sight::Measured, false, static_cast<float>(entropy), share};
  };
  const bool is_marked = engine.is_marked(candidates);
  if (is_marked) {
    const std::array<std::uint64_t, 3> toss = {response.size(), attempt, 1};
    const double coin = prf::uniform(XXH3_64bits_withSeed(toss.data(), sizeof toss, seed));
    if (const auto token = engine.select(candidates, coin)) {
      const auto chosen =
          std::find_if(candidates.begin(), candidates.end(),
                       [&](const embed::Candidate& c) { return c.token == *token; });
      return keep(*token, Kind::Marked, chosen->weight / total);
    }
    if (!is_biased) engine.reweigh(candidates);
  }
  const marks::TokenHash hash_of = free_hash();
  marks::Selection selection;
  for (const auto& [token, weight] : candidates) {
    if (weight > 0.0) selection.offer_hash(token, hash_of(token), weight);
  }
  keep(selection.token(), is_marked ? Kind::Marked : Kind::Free, 1.0);
}

bool Sequence::Impl::is_measured_position(std::size_t row_size) const noexcept {
  return row_size < long_row || response.size() % measured_every == 0 || records.empty() ||
         records.back().kind == Kind::Forced;
}

void Sequence::Impl::keep_winner(const embed::BlockedRow& row, const embed::Winner& winner,
                                 double temperature) {
  if (winner.is_alone) return keep_greedy(winner.token);
  pending.selected = true;
  pending.token = winner.token;
  pending.record = {drawn_kind(), Sight::Unmeasured};
  pending.was_drawn |= pending.record.kind == Kind::Marked;
  if (!is_measured_position(row.size())) return;
  const double scale = std::numbers::log2e / temperature;
  const kernels::Sums sums = row.sum(winner.largest, static_cast<float>(scale));
  const double weight =
      std::exp2(scale * (static_cast<double>(winner.logit) - static_cast<double>(winner.largest)));
  const double bits = std::log2(sums.weights) - sums.weighted_exponents / sums.weights;
  pending.record.sight = Sight::Measured;
  pending.record.entropy_nats = static_cast<float>(std::max(0.0, bits * std::numbers::ln2));
  pending.record.probability = std::min(1.0, weight / sums.weights);
}

ErrorCode Sequence::Impl::select(Logits logits, const SamplingOptions& options) {
  if (!embed::is_valid(options)) return ErrorCode::InvalidOption;
  std::size_t size = 0;
  if (const ErrorCode code = embed::row_size(logits, sampler->profile.tokenizer(), size);
      code != ErrorCode::Ok) {
    return code;
  }
  if (response.engine() != nullptr) return select_by_engine(logits, size, options);
  const embed::BlockedRow row(kernels::active(), logits, size);
  if (options.temperature == 0.0) {
    TokenId token = 0;
    const ErrorCode code = embed::greedy_from_logits(row, scratch(), token);
    if (code == ErrorCode::Ok) keep_greedy(token);
    return code;
  }
  const bool keeps_all = options.top_k == 0 && options.top_p == 1.0 && options.min_p == 0.0;
  if (keeps_all && row.size() >= short_row) {
    embed::Winner winner;
    const ErrorCode code = embed::race(row, options.temperature, hash(), winner);
    if (code != ErrorCode::Ok) return code;
    if (winner.is_decided) {
      keep_winner(row, winner, options.temperature);
      return ErrorCode::Ok;
    }
  }
  const ErrorCode code = embed::candidates_from_logits(row, options, scratch());
  if (code == ErrorCode::Ok) keep_draw(scratch().candidates);
  return code;
}

ErrorCode Sequence::Impl::select_candidates(std::span<const TokenId> ids,
                                            std::span<const double> weights) {
  auto& candidates = scratch().candidates;
  const ErrorCode code = embed::candidates_from_weights(
      ids, weights, profiles::id_limit(sampler->profile), candidates);
  if (code != ErrorCode::Ok) return code;
  if (response.engine() != nullptr) {
    keep_engine_draw(candidates, false);
  } else {
    keep_draw(candidates);
  }
  return code;
}

ErrorCode Sequence::Impl::select_by_engine(Logits logits, std::size_t size,
                                           const SamplingOptions& options) {
  using Bias = marks::EngineWalk::Bias;
  const marks::EngineWalk& engine = *response.engine();
  const bool is_greedy = options.temperature == 0.0;
  const bool is_biased =
      engine.is_marked({}) && (engine.biases() == Bias::BeforeTruncation ||
                               (is_greedy && engine.biases() == Bias::AfterTruncation));
  std::vector<float> biased;
  if (is_biased) {
    biased = embed::as_floats(logits, size);
    // A bias may look for the likeliest tokens, and there are none among these.
    if (std::any_of(biased.begin(), biased.end(), [](float x) { return !(x < HUGE_VALF); })) {
      return ErrorCode::InvalidLogits;
    }
    engine.bias(biased);
    logits = Logits(std::span<const float>(biased));
  }
  const embed::BlockedRow row(kernels::active(), logits, size);
  if (is_greedy && engine.reweighs_greedy() && engine.is_marked({})) {
    // What the mark makes of the untruncated distribution, and the likeliest of that.
    const ErrorCode code = embed::candidates_from_logits(row, {}, scratch());
    if (code != ErrorCode::Ok) return code;
    auto& candidates = scratch().candidates;
    engine.reweigh(candidates);
    keep_greedy(std::max_element(candidates.begin(), candidates.end(),
                                 [](const embed::Candidate& a, const embed::Candidate& b) {
                                   return a.weight < b.weight;
                                 })
                    ->token);
    pending.record.kind = Kind::Marked;
    return code;
  }
  if (is_greedy) {
    TokenId token = 0;
    const ErrorCode code = embed::greedy_from_logits(row, scratch(), token);
    if (code != ErrorCode::Ok) return code;
    keep_greedy(token);
    if (is_biased) pending.record.kind = Kind::Marked;
    return code;
  }
  const ErrorCode code = embed::candidates_from_logits(row, options, scratch());
  if (code == ErrorCode::Ok) keep_engine_draw(scratch().candidates, is_biased);
  return code;
}

bool Sequence::Impl::in_vocabulary(TokenId token) const noexcept {
  return token >= 0 && static_cast<std::int64_t>(token) < profiles::id_limit(sampler->profile);
}

ErrorCode Sequence::Impl::observe(TokenId token, bool takes_part) {
  if (!in_vocabulary(token)) return ErrorCode::TokenOutOfRange;
  Record record;
  if (pending.selected && pending.token == token) {
    record = pending.record;
    takes_part |= pending.takes_part;
  } else if (pending.placed) {
    record.kind = drawn_kind();
  }
  record.was_drawn = pending.was_drawn;
  records.push_back(record);
  ErrorCode code = ErrorCode::Ok;
  try {
    code = response.observe(token, takes_part || record.kind == Kind::Marked);
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
  tell_ledger(records.size() - std::min(count, records.size()));
  response.rollback(count);
  records.resize(response.size());
  pending = {};
  ++attempt;
}

void Sequence::Impl::undo_observe() noexcept {
  tell_ledger(records.size() - 1);
  response.rollback(1);
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
  const marks::Walk* const walk = impl_->response.ours();
  if (walk == nullptr) return {};
  impl_->pending.placed = true;
  if (!walk->next_is_marked()) return {};
  impl_->pending.was_drawn = true;
  const marks::Place& place = walk->next();
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

std::size_t Sequence::size() const noexcept { return impl_->response.size(); }

std::span<const TokenId> Sequence::tokens() const noexcept { return impl_->response.tokens(); }

SequenceStats Sequence::stats() const {
  using Kind = Impl::Kind;
  using Record = Impl::Record;
  SequenceStats stats;
  stats.tokens = size();
  const bool accounts = impl_->sampler->profile.has_accounts();
  const marks::Walk* const ours = impl_->response.ours();
  const auto score_of = [](const Record& record) {
    return record.kind == Kind::Marked ? stats::harmonic(1.0 / record.probability) : 1.0;
  };
  // What was not measured counts as the mean of what was.
  std::array<Mean, Impl::kinds> entropies, scores;
  for (const Record& record : impl_->records) {
    if (record.sight != Impl::Sight::Measured) continue;
    entropies[static_cast<std::size_t>(record.kind)].add(record.entropy_nats);
    scores[static_cast<std::size_t>(record.kind)].add(score_of(record));
  }
  // Sum and number of the scores of "ours", of the whole text and without the free prefix.
  stats::Sum all, rest;
  std::size_t all_scored = 0, rest_scored = 0;
  for (std::size_t i = 0; i < stats.tokens; ++i) {
    const Record& record = impl_->records[i];
    const auto kind = static_cast<std::size_t>(record.kind);
    stats.marked += record.kind == Kind::Marked;
    stats.free += record.kind == Kind::Free;
    stats.greedy += record.kind == Kind::Greedy;
    stats.forced += record.kind == Kind::Forced;
    const bool is_estimated = record.sight == Impl::Sight::Unmeasured;
    const double entropy = is_estimated ? entropies[kind].value_or(0.0) : record.entropy_nats;
    stats.entropy_bits += entropy / std::numbers::ln2;

    if (ours == nullptr && record.kind == Kind::Free) continue;
    if (ours != nullptr) {
      const marks::Layer layer = ours->places()[i].layer;
      if (layer == marks::Layer::Free || (accounts && layer == marks::Layer::Wide)) continue;
    }
    const double score = is_estimated ? scores[kind].value_or(1.0) : score_of(record);
    all.add(score);
    ++all_scored;
    if (ours != nullptr && impl_->sampler->mark->parameters().in_free_prefix(i)) continue;
    rest.add(score);
    ++rest_scored;
  }
  // Of an engine's mark it is known where that selects by U.
  const auto& engine = impl_->sampler->engine;
  if (stats.marked > 0 && (engine == nullptr || engine->selects())) {
    stats.expected_log10_p =
        stats::log10_nested_tail(rest_scored, rest.value(), all_scored, all.value());
  }
  return stats;
}

}  // namespace countermark
