// Level 2: checks a text against the very draws that would have made it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "countermark/detector.h"
#include "countermark/error.h"
#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/logits.h"
#include "countermark/token.h"

namespace countermark {

struct ReplayOptions {
  /// As the response was sampled. Other options cost power, never validity.
  SamplingOptions sampling = {};
  /// Whom the response was for, under the profiles that have accounts; empty: no account.
  std::optional<std::uint64_t> account = {};
  /// The share of draws that may come out otherwise, because a token was edited or floats differed;
  /// in (0, 1). Larger shares are tried too, at a price of half a nat.
  double epsilon = 0.02;
  /// As DetectorOptions::false_positive_rate.
  double false_positive_rate = 1e-6;
};

/// Replays a response token by token, given the logits of a model for each, under the keys of some
/// profiles. A draw of the mark takes token t with its probability p(t), whatever the key, and so
///
///     e = (1 - epsilon) [t is what the mark draws] / p(t) + epsilon
///
/// has the mean 1 for a text that is independent of the key (and for any model that is). The
/// product is an e-value, and one over its largest value so far a p-value: valid at any stopping
/// time (Ville's inequality). It takes almost the whole entropy of the response as evidence.
///
/// Belongs to one thread at a time.
class COUNTERMARK_API Replay {
 public:
  /// Begins a response under the profiles named. Throws Error(UnknownProfile),
  /// Error(InvalidOption), or Error(AccountMismatch) for an account where no profile has accounts.
  Replay(const KeyRing& ring, std::span<const std::string> profile_ids,
         const ReplayOptions& options = {});

  /// The next token, and the logits that it was sampled from: at least vocab_size values. Never
  /// throws for data: SizeMismatch, InvalidLogits, NoCandidate, TokenOutOfRange or CryptoFailure
  /// is returned, and nothing is changed.
  [[nodiscard]] ErrorCode observe(Logits logits, TokenId token);

  /// The next token, where its logits are not known: it says nothing.
  [[nodiscard]] ErrorCode observe(TokenId token);

  /// What the tokens so far say. Throws Error(EmptyText) before the first.
  Detection detection() const;

  Replay(Replay&&) noexcept;
  Replay& operator=(Replay&&) noexcept;
  ~Replay();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countermark
