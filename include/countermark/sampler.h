// Marks what a model samples. One per model and profile; one Sequence per response.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "countermark/error.h"
#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/ledger.h"
#include "countermark/profile.h"
#include "countermark/sequence.h"

namespace countermark {

/// How a response begins.
struct SequenceOptions {
  /// Whom the wide layer names. Only for a profile with accounts; empty there means "no account".
  std::optional<std::uint64_t> account = {};
  /// Seeds the free draws alone, never the mark. Empty: random. Give one only to repeat a run.
  std::optional<std::uint64_t> seed = {};
  /// Tokens that the response holds already (a migrated or resumed request).
  std::span<const TokenId> response_so_far = {};
  /// What comes before the response in one run of tokens. The marks of some engines take contexts
  /// from it (docs/engines.md); our own does not look at it.
  std::span<const TokenId> prompt = {};
  /// How long the response may become, if that is known: memory for so many tokens is taken at
  /// once, about 60 bytes each, and none later. 0: it is taken as the response grows.
  std::size_t max_tokens = 0;
};

/// How a sampler works.
struct SamplerOptions {
  /// Threads that a batch call may use, the caller's own included; 0: one for each core. The others
  /// start with the first batch that is worth it.
  unsigned threads = 0;
  /// Takes in where the mark drew, when a sequence ends or goes back. Of the profile's key.
  std::optional<Ledger> ledger = {};
};

/// What a batch call did. On failure no sequence has moved and no output was written.
struct BatchStatus {
  ErrorCode code = ErrorCode::Ok;
  std::size_t row = 0;  ///< The first row at fault.

  bool ok() const noexcept { return code == ErrorCode::Ok; }
};

/// A key and its profile, ready to mark. Immutable and thread-safe; copies share their state.
class COUNTERMARK_API Sampler {
 public:
  /// Throws Error(UnknownProfile), Error(RetiredProfile), or Error(InvalidLedger) where the ledger
  /// is of another key or narrow_width.
  Sampler(const KeyRing& ring, std::string_view profile_id, const SamplerOptions& options = {});

  const Profile& profile() const noexcept;

  /// Begins a response. Throws Error(AccountMismatch), Error(TokenOutOfRange) or
  /// Error(CryptoFailure).
  Sequence sequence(const SequenceOptions& options = {}) const;

  /// Samples one token for each sequence: row i of `rows` goes to `sequences[i]`, whose token is
  /// written to `tokens[i]`. A sequence may occur once. Rows are independent of each other and of
  /// their order. Sequences of other samplers may be among them, as during a rotation: each keeps
  /// the profile it began with.
  [[nodiscard]] BatchStatus sample_batch(std::span<const Logits> rows,
                                         std::span<Sequence* const> sequences,
                                         const SamplingOptions& options,
                                         std::span<TokenId> tokens) const;

  /// The same from candidates: `ids` and `weights` hold sequences.size() rows of `width` entries.
  [[nodiscard]] BatchStatus sample_candidates_batch(std::span<const TokenId> ids,
                                                    std::span<const double> weights,
                                                    std::size_t width,
                                                    std::span<Sequence* const> sequences,
                                                    std::span<TokenId> tokens) const;

  /// Observes `tokens[i]` in `sequences[i]`: all of them or, on failure, none.
  [[nodiscard]] BatchStatus observe_batch(std::span<Sequence* const> sequences,
                                          std::span<const TokenId> tokens) const;

  struct Impl;  // for the library itself

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace countermark
