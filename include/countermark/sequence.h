// The tokens of one response, and the draw of the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "countermark/error.h"
#include "countermark/export.h"
#include "countermark/logits.h"
#include "countermark/token.h"

namespace countermark {

/// Where a position belongs. The numbers are part of the contract with GPU kernels.
enum class Layer : std::uint8_t { Free = 0, Narrow = 1, Wide = 2, WideAccount = 3 };

/// What a kernel needs to draw the next token itself: the layer and its keys. A free position has
/// zero keys, and is sampled with the kernel's own randomness.
struct Placement {
  Layer layer = Layer::Free;
  std::uint64_t k1 = 0, k2 = 0;  ///< The seed of the context; 0 where free.
  std::uint64_t a1 = 0, a2 = 0;  ///< The account's key; 0 unless WideAccount.
};

/// What became of a response's tokens. The counts add up to `tokens`.
struct SequenceStats {
  std::size_t tokens = 0;
  /// Drawn by the mark: sampled here, or by a kernel from placements(), at a narrow or wide
  /// position with at least two candidates.
  std::size_t marked = 0;
  /// Drawn freely: the free prefix, repeated contexts, free_units.
  std::size_t free = 0;
  /// Not drawn at all: temperature 0, or a single candidate.
  std::size_t greedy = 0;
  /// Observed, but neither selected here nor placed by placements(): grammar, prefill, another
  /// sampler's choice.
  std::size_t forced = 0;
  /// Sum over the tokens selected here of the entropy of what they were drawn from, in bits. Rows
  /// of 16,384 logits or more are summed up at one position in sixteen, unless they were truncated:
  /// the others count as the mean of those, here and in expected_log10_p. A sum is in float32
  /// there, and may differ from machine to machine in the sixth digit.
  double entropy_bits = 0.0;
  /// log10 of the p-value that detection with the key is expected to give for "ours", from the
  /// probabilities of the tokens selected here; 0 where nothing was marked. A kernel's tokens
  /// count as noise, since their probabilities were not seen. Paid for the start as
  /// Start::Both does.
  double expected_log10_p = 0.0;

  /// False where no token carries the mark, as at temperature 0.
  bool is_marked() const noexcept { return marked > 0; }
};

/// One response: a contiguous run of tokens through one channel. The prompt is no part of it; begin
/// a new sequence at every turn, around each tool call, and from reasoning to answer.
///
/// `observe` is the only call that moves the state (`sample` selects and observes). Belongs to one
/// thread at a time. Keeps the profile it began with. Made by Sampler::sequence();
/// one that was moved from can only be assigned to or destroyed.
class COUNTERMARK_API Sequence {
 public:
  /// Draws the next token. Pure: the same answer until something is observed or rolled back.
  ///
  /// `logits` holds at least vocab_size values, of which the first vocab_size are candidates; -inf
  /// excludes one. O(vocab_size); the same token on every machine, with whatever vector
  /// instructions.
  ///
  /// Never throws for data: InvalidOption, SizeMismatch, InvalidLogits (NaN, +inf) or NoCandidate
  /// is returned and `token` left alone.
  [[nodiscard]] ErrorCode select(Logits logits, const SamplingOptions& options,
                                 TokenId& token) const;

  /// Draws among candidates that the caller has truncated. `weights` are probabilities up to
  /// scale, 0 or more and finite; entries of weight 0 never win and their ids are not looked at,
  /// so they can pad. The other ids are distinct, in any order. Pure, as select().
  ///
  /// Never throws for data: SizeMismatch, TokenOutOfRange, InvalidWeights, DuplicateCandidate or
  /// NoCandidate is returned and `token` left alone.
  [[nodiscard]] ErrorCode select_candidates(std::span<const TokenId> ids,
                                            std::span<const double> weights, TokenId& token) const;

  /// Appends a token, whoever chose it. TokenOutOfRange for a negative id or one that is not below
  /// vocab_size, and CryptoFailure, leave the sequence as it was.
  [[nodiscard]] ErrorCode observe(TokenId token);

  /// Selects and observes in one step.
  [[nodiscard]] ErrorCode sample(Logits logits, const SamplingOptions& options, TokenId& token);

  /// Forgets the last `count` tokens, at most all of them (rejected drafts). Free draws of the
  /// positions that come again are new ones.
  void rollback(std::size_t count) noexcept;

  /// An independent copy with its own seed for the free draws (random where empty).
  /// Throws Error(CryptoFailure).
  Sequence fork(std::optional<std::uint64_t> seed = {}) const;

  /// Where the next position belongs. Marks the position as handed out, so that the observed token
  /// counts as marked. Only for our own mark: with another engine's, every position is free.
  Placement placement() const noexcept;

  std::size_t size() const noexcept;
  std::span<const TokenId> tokens() const noexcept;
  SequenceStats stats() const;

  Sequence(Sequence&&) noexcept;
  Sequence& operator=(Sequence&&) noexcept;
  ~Sequence();

  struct Impl;
  explicit Sequence(std::unique_ptr<Impl> impl) noexcept;  // for the library itself
  Impl& impl() const noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace countermark
