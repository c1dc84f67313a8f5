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
#include "embed/response.h"
#include "marks/countermark_1.h"

namespace countermark {

/// A profile with its key: shared by a sampler and all of its sequences.
struct Sampler::Impl {
  Profile profile;
  /// Our own mark, or another engine's.
  std::optional<marks::Countermark1> mark;
  std::shared_ptr<const marks::EngineMark> engine;
  /// For batches.
  std::unique_ptr<base::Workers> workers = {};
  std::optional<Ledger> ledger = {};
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
    /// The mark drew here, whatever was observed then.
    bool was_drawn = false;
    /// Of the distribution, and the token's share of it. 0 and 1 where not measured.
    float entropy_nats = 0.0F;
    double probability = 1.0;
  };

  /// What select() chose for the next position, so that observe() can tell it from a forced token.
  struct Pending {
    bool selected = false;
    bool placed = false;
    /// The mark has drawn here, if only once.
    bool was_drawn = false;
    /// The mark drew the token, if only from one candidate: some engines remember that.
    bool takes_part = false;
    TokenId token = 0;
    Record record;
  };

  Impl(std::shared_ptr<const Sampler::Impl> from, embed::Response response_so_far,
       std::optional<keys::AccountKey> account_key, std::uint64_t free_seed);
  Impl(const Impl&) = default;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  /// What a token drawn at the next position by our own mark is.
  Kind drawn_kind() const noexcept;
  /// The hash by which our own mark draws the next position.
  marks::TokenHash hash() const noexcept;
  /// The hash of a draw that no mark makes.
  marks::TokenHash free_hash() const noexcept;

  ErrorCode select(Logits logits, const SamplingOptions& options);
  ErrorCode select_candidates(std::span<const TokenId> ids, std::span<const double> weights);
  bool in_vocabulary(TokenId token) const noexcept;
  /// `takes_part`: a token that was drawn elsewhere, by the same mark.
  ErrorCode observe(TokenId token, bool takes_part = false);
  void rollback(std::size_t count) noexcept;
  /// Tells the sampler's ledger where the mark drew, from position `begin` on. That says nothing of
  /// what it drew: a context that was kept from the ledger for its token would bias what is left.
  void tell_ledger(std::size_t begin) noexcept;
  /// Takes the last token back as if it had never been observed, so that a batch can undo.
  void undo_observe() noexcept;

  void keep_greedy(TokenId token) noexcept;
  void keep_draw(std::span<const embed::Candidate> candidates) noexcept;
  /// The same by another engine's mark; `is_biased`: it has changed the logits already.
  void keep_engine_draw(std::span<embed::Candidate> candidates, bool is_biased);
  ErrorCode select_by_engine(Logits logits, std::size_t size, const SamplingOptions& options);
  void keep_winner(const embed::BlockedRow& row, const embed::Winner& winner, double temperature);
  /// Whether the distribution of the next position is summed up.
  bool is_measured_position(std::size_t row_size) const noexcept;

  std::shared_ptr<const Sampler::Impl> sampler;
  std::optional<keys::AccountKey> account;
  std::uint64_t seed;
  /// Rollbacks so far: positions that come again are drawn anew.
  std::uint64_t attempt = 0;
  embed::Response response;
  std::vector<Record> records;
  Pending pending;
  /// Set while a batch call runs, to find a sequence that occurs twice.
  bool in_batch = false;
};

}  // namespace countermark
