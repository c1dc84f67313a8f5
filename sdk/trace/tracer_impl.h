// What is behind a Tracer: for itself and for a Screening.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/workers.h"
#include "countermark/tracer.h"
#include "marks/countermark_1.h"
#include "trace/account_keys.h"
#include "trace/wide_layer.h"

namespace countermark {

struct Tracer::Impl {
  Profile profile;
  marks::Countermark1 mark;
  std::vector<std::uint64_t> accounts;
  TracerOptions options;
  double log10_threshold;
  /// A job of theirs takes all of them; they are idle otherwise.
  mutable base::Workers workers;
  trace::AccountKeys keys;

  Impl(const KeyRing& ring, std::string_view profile_id, std::span<const std::uint64_t> accounts,
       const TracerOptions& options);

  /// The key of the account in a row, derived anew: no accusation rests on an index alone. Throws
  /// Error(InvalidAccounts) where the index has another.
  keys::AccountKey key_of(std::size_t row) const;

  /// "Ours" by the narrow layer alone. `rests` holds 1 - U of its tokens, NaN elsewhere.
  OursEvidence ours(std::span<const double> rests, Start start) const;

  Trace trace(std::span<const TokenId> tokens, const Proxy* proxy, Start start) const;

 private:
  struct Work;

  void find_best(Work& work) const;
  void find_regions(Work& work) const;
  void accuse(Work& work) const;
  void look_ahead(Work& work) const;
};

namespace trace {

/// The profile's mark. Throws Error(UnknownProfile), or Error(AccountMismatch) where it has no
/// accounts.
marks::Countermark1 mark_with_accounts(const KeyRing& ring, std::string_view profile_id);

}  // namespace trace
}  // namespace countermark
