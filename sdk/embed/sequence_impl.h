// What is behind Sampler and Sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/workers.h"
#include "countermark/sampler.h"
#include "countermark/sequence.h"
#include "embed/candidates.h"
#include "embed/race.h"
#include "marks/countermark_1.h"

namespace countermark {

/// A profile with its key: shared by a sampler and all of its sequences.
struct Sampler::Impl {
  Profile profile;
  marks::Countermark1 mark;
  /// For batches.
  std::unique_ptr<base::Workers> workers = {};
};

struct Sequence::Impl {
  enum class Kind : std::uint8_t { Marked, Free, Greedy, Forced };
  static constexpr std::size_t kinds = 4;

  /// What is known of the distribution that a token was drawn from: nothing, its sums, or that it
  /// was a long row, of which only some are summed up.
  enum class Sight : std::uint8_t { None, Measured, Unmeasured };

  /// What is remembered of an observed token.
  struct Record {
    Kind kind = Kind::Forced;
    Sight sight = Sight::None;
    /// Of the distribution, and the token's share of it. 0 and 1 where not measured.
    float entropy_nats = 0.0F;
    double probability = 1.0;
  };

  /// What select() chose for the next position, so that observe() can tell it from a forced token.
  struct Pending {
    bool selected = false;
    bool placed = false;
    TokenId token = 0;
    Record record;
  };

  Impl(std::shared_ptr<const Sampler::Impl> from, std::optional<keys::AccountKey> account_key,
       std::uint64_t free_seed);

  /// What a token drawn at the next position is.
  Kind drawn_kind() const noexcept;
  /// The hash that draws the next position, the mark's or a free one.
  marks::TokenHash hash() const noexcept;

  ErrorCode select(Logits logits, const SamplingOptions& options);
  ErrorCode select_candidates(std::span<const TokenId> ids, std::span<const double> weights);
  bool in_vocabulary(TokenId token) const noexcept;
  ErrorCode observe(TokenId token);
  void rollback(std::size_t count) noexcept;
  /// Takes the last token back as if it had never been observed, so that a batch can undo.
  void undo_observe() noexcept;

  void keep_greedy(TokenId token) noexcept;
  void keep_draw(std::span<const embed::Candidate> candidates) noexcept;
  void keep_winner(const embed::BlockedRow& row, const embed::Winner& winner, double temperature);
  /// Whether the distribution of the next position is summed up.
  bool is_measured_position(std::size_t row_size) const noexcept;

  std::shared_ptr<const Sampler::Impl> sampler;
  std::optional<keys::AccountKey> account;
  std::uint64_t seed;
  /// Rollbacks so far: positions that come again are drawn anew.
  std::uint64_t attempt = 0;
  marks::Walk walk;
  std::vector<Record> records;
  Pending pending;
  /// Set while a batch call runs, to find a sequence that occurs twice.
  bool in_batch = false;
};

}  // namespace countermark
