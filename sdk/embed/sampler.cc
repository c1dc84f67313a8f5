#include "countermark/sampler.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/fail.h"
#include "base/workers.h"
#include "embed/random_seed.h"
#include "embed/sequence_impl.h"
#include "ledger/ledger_impl.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"

namespace countermark {
namespace {

/// The sequences of one batch call, each checked to occur once.
class Batch {
 public:
  explicit Batch(std::span<Sequence* const> sequences) noexcept : sequences_(sequences) {
    while (entered_ < sequences_.size() && !impl(entered_).in_batch) {
      impl(entered_++).in_batch = true;
    }
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch() {
    for (std::size_t row = 0; row < entered_; ++row) impl(row).in_batch = false;
  }

  BatchStatus status() const noexcept {
    if (entered_ == sequences_.size()) return {};
    return {ErrorCode::RepeatedSequence, entered_};
  }

  /// Runs `step(sequence, row)` for every row up to the first that fails.
  template <typename Step>
  BatchStatus each(Step&& step) {
    for (std::size_t row = 0; row < sequences_.size(); ++row) {
      const ErrorCode code = step(impl(row), row);
      if (code != ErrorCode::Ok) return {code, row};
    }
    return {};
  }

  /// Observes `token_of(sequence, row)` in every row or, on failure, in none.
  template <typename TokenOf>
  BatchStatus observe(TokenOf&& token_of) {
    // What data can get wrong is looked at before the first sequence moves.
    const BatchStatus valid = each([&](Sequence::Impl& sequence, std::size_t row) {
      return sequence.in_vocabulary(token_of(sequence, row)) ? ErrorCode::Ok
                                                             : ErrorCode::TokenOutOfRange;
    });
    if (!valid.ok()) return valid;

    std::size_t moved = 0;
    const auto take_back = [&] {
      while (moved > 0) impl(--moved).undo_observe();
    };
    try {
      const BatchStatus status = each([&](Sequence::Impl& sequence, std::size_t row) {
        const ErrorCode code = sequence.observe(token_of(sequence, row));
        moved += code == ErrorCode::Ok;
        return code;
      });
      if (!status.ok()) take_back();
      return status;
    } catch (...) {  // out of memory
      take_back();
      throw;
    }
  }

  /// `step(sequence, row)` for every row, on all threads where `work`, the logits and candidates to
  /// look at, is worth waking them.
  template <typename Step>
  BatchStatus each(base::Workers& workers, std::size_t work, Step&& step) {
    constexpr std::size_t worth_waking = std::size_t{1} << 15;
    if (work < worth_waking) return each(step);
    std::atomic<std::size_t> first_at_fault = sequences_.size();
    ErrorCode code = ErrorCode::Ok;
    std::mutex mutex;
    workers.run(sequences_.size(), [&](std::size_t row) {
      // Later rows than one at fault need no look.
      if (row > first_at_fault) return;
      const ErrorCode row_code = step(impl(row), row);
      if (row_code == ErrorCode::Ok) return;
      const std::lock_guard lock(mutex);
      if (row > first_at_fault) return;
      first_at_fault = row;
      code = row_code;
    });
    if (code != ErrorCode::Ok) return {code, first_at_fault};
    return {};
  }

  /// Draws every row by `select(sequence, row)`, observes the tokens and writes them out.
  template <typename Select>
  BatchStatus sample(base::Workers& workers, std::size_t work, Select&& select,
                     std::span<TokenId> tokens) {
    if (tokens.size() != sequences_.size()) return {ErrorCode::SizeMismatch, 0};
    if (!status().ok()) return status();
    const BatchStatus selected = each(workers, work, select);
    if (!selected.ok()) return selected;
    const BatchStatus observed =
        observe([](const Sequence::Impl& sequence, std::size_t) { return sequence.pending.token; });
    if (!observed.ok()) return observed;
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      tokens[row] = sequences_[row]->tokens().back();
    }
    return {};
  }

 private:
  Sequence::Impl& impl(std::size_t row) const noexcept { return sequences_[row]->impl(); }

  std::span<Sequence* const> sequences_;
  std::size_t entered_ = 0;
};

}  // namespace

Sampler::Sampler(const KeyRing& ring, std::string_view profile_id, const SamplerOptions& options) {
  const auto [entry, profile] = ring.impl().find(profile_id);
  if (!profile->is_active()) {
    fail(ErrorCode::RetiredProfile, "profile \"", profile_id,
         "\" is retired: it detects, and marks nothing new");
  }
  if (options.ledger) options.ledger->impl().require_of(*profile);
  auto impl = std::make_shared<Impl>(Impl{*profile, std::nullopt, nullptr});
  impl->workers = std::make_unique<base::Workers>(options.threads);
  impl->ledger = options.ledger;
  if (profiles::is_engine(*profile)) {
    impl->engine = profiles::make_engine_mark(entry->secret, *profile);
  } else {
    impl->mark.emplace(entry->secret, profiles::parameters_of(*profile));
  }
  impl_ = std::move(impl);
}

const Profile& Sampler::profile() const noexcept { return impl_->profile; }

Sequence Sampler::sequence(const SequenceOptions& options) const {
  if (options.account && !impl_->profile.has_accounts()) {
    fail(ErrorCode::AccountMismatch, "profile \"", impl_->profile.id(),
         "\" has no accounts, but an account was given");
  }
  std::optional<keys::AccountKey> account;
  if (options.account) account = impl_->mark->account_key(*options.account);
  profiles::require_ids(impl_->profile, "prompt", options.prompt);
  const auto so_far = options.response_so_far;
  profiles::require_ids(impl_->profile, "response_so_far", so_far);
  auto sequence = std::make_unique<Sequence::Impl>(
      impl_,
      impl_->mark ? embed::Response(*impl_->mark)
                  : embed::Response(impl_->engine->walk(options.prompt)),
      account, options.seed ? *options.seed : embed::random_seed());
  const std::size_t room = std::max(options.max_tokens, so_far.size());
  sequence->response.reserve(room);
  sequence->records.reserve(room);
  for (const TokenId token : so_far) {
    const auto* const engine = sequence->response.engine();
    const bool takes_part = engine != nullptr && engine->is_marked({});
    if (const ErrorCode code = sequence->observe(token, takes_part); code != ErrorCode::Ok) {
      fail(code, error_description(code));
    }
  }
  return Sequence(std::move(sequence));
}

BatchStatus Sampler::sample_batch(std::span<const Logits> rows,
                                  std::span<Sequence* const> sequences,
                                  const SamplingOptions& options, std::span<TokenId> tokens) const {
  if (rows.size() != sequences.size()) return {ErrorCode::SizeMismatch, 0};
  std::size_t work = 0;
  for (const Logits& row : rows) work += row.size();
  return Batch(sequences).sample(
      *impl_->workers, work,
      [&](Sequence::Impl& sequence, std::size_t row) {
        return sequence.select(rows[row], options);
      },
      tokens);
}

BatchStatus Sampler::sample_candidates_batch(std::span<const TokenId> ids,
                                             std::span<const double> weights, std::size_t width,
                                             std::span<Sequence* const> sequences,
                                             std::span<TokenId> tokens) const {
  // By division: a product could wrap around.
  const std::size_t count = sequences.size();
  const bool fits =
      count == 0 ? ids.empty() : ids.size() % count == 0 && ids.size() / count == width;
  if (!fits || weights.size() != ids.size()) return {ErrorCode::SizeMismatch, 0};
  // A candidate costs as much as some tens of logits.
  return Batch(sequences).sample(
      *impl_->workers, 16 * ids.size(),
      [&](Sequence::Impl& sequence, std::size_t row) {
        return sequence.select_candidates(ids.subspan(row * width, width),
                                          weights.subspan(row * width, width));
      },
      tokens);
}

BatchStatus Sampler::observe_batch(std::span<Sequence* const> sequences,
                                   std::span<const TokenId> tokens) const {
  if (tokens.size() != sequences.size()) return {ErrorCode::SizeMismatch, 0};
  Batch batch(sequences);
  if (!batch.status().ok()) return batch.status();
  return batch.observe([&](const Sequence::Impl&, std::size_t row) { return tokens[row]; });
}

}  // namespace countermark
