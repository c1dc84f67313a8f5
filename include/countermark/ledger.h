// Which narrow contexts a service has marked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/token.h"

namespace countermark {

struct LedgerOptions {
  /// Distinct contexts that there is room for, 1 to 10^11, two bytes each: with so many, another
  /// context is taken for one of them in one case of a hundred. Ledgers of several servers merge
  /// where they were made for the same number.
  std::size_t contexts = 10'000'000;
};

/// A Bloom filter of the narrow contexts after which a profile's samplers drew a token by the mark,
/// whatever became of it: what a student that learned from the service can know, so that a
/// DistillationTest need not look at anything else. Its hash is keyed, so a ledger tells nothing to
/// those who lack the key.
///
/// Thread-safe, and lock-free where samplers write. Copies share their state.
class COUNTERMARK_API Ledger {
 public:
  /// An empty one. Throws Error(UnknownProfile), Error(UnknownMark) where the profile's mark is
  /// another engine's, or Error(InvalidOption) where it has no narrow layer or an option is out of
  /// range.
  Ledger(const KeyRing& ring, std::string_view profile_id, const LedgerOptions& options = {});

  /// Reads one that save() wrote. Throws also Error(FileFailure), Error(UnsupportedFormat), or
  /// Error(InvalidLedger) where it is truncated or of another key or width.
  static Ledger open(const KeyRing& ring, std::string_view profile_id,
                     const std::filesystem::path& path);

  /// Replaces the file, mode 0600: a crash loses neither the old one nor the new one. Samplers may
  /// go on writing meanwhile. Throws Error(FileFailure).
  void save(const std::filesystem::path& path) const;

  /// Takes in what another ledger holds. Throws Error(InvalidLedger) where it is of another key,
  /// width or size.
  void merge(const Ledger& other);

  /// Takes in the contexts that a response from the logs was marked after, the end included, where
  /// a token may have been drawn that the log has not; a sampler that has the ledger does so
  /// itself. Logs must not have been chosen for what was drawn: no filter for good answers. Throws
  /// Error(TokenOutOfRange) or Error(CryptoFailure).
  void add_response(std::span<const TokenId> tokens);

  /// Whether the token after `tokens`, at least as many as the narrow layer is wide, was ever drawn
  /// by the mark: never false where it was. Throws Error(SizeMismatch) where there are fewer.
  bool contains(std::span<const TokenId> tokens) const;

  /// How many contexts it holds, estimated from its bits.
  double contexts() const noexcept;
  /// How often a context that it does not hold is taken for one that it holds.
  double false_positive_rate() const noexcept;
  /// Bytes of memory, and of the file but for its header.
  std::size_t bytes() const noexcept;

  struct Impl;  // for the library itself
  Impl& impl() const noexcept { return *impl_; }

 private:
  explicit Ledger(std::shared_ptr<Impl> impl) noexcept;

  std::shared_ptr<Impl> impl_;
};

}  // namespace countermark
