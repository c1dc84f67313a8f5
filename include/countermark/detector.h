// Finds marks in tokens of any origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/token.h"

namespace countermark {

/// What a text says of the keys it was tested with. Never that a human wrote it.
enum class Verdict {
  /// Sampled by us, or copied, stitched or learned from us.
  Marked,
  /// It does not show, and a typical marked text of this length would as likely as not have shown.
  NotMarkedByTheseKeys,
  /// Too few tokens were scored, under one of the keys, to expect that.
  Insufficient,
};

/// What is assumed of where the response starts. Matters where a profile has a free prefix: it was
/// drawn without the mark, so it is noise.
enum class Start {
  Unknown,   ///< The text may begin anywhere in a response: score everything.
  Response,  ///< The text is a whole response: skip the free prefix.
  Both,      ///< Try both and pay for both, exactly: a factor of 2 at most.
};

struct DetectorOptions {
  /// Probability of calling a text marked that is independent of every key tested, in (0, 0.5].
  double false_positive_rate = 1e-6;
};

/// What one profile's key found.
struct ProfileResult {
  std::string profile;
  /// Positions scored, and the sum of their scores: Gamma(scored, 1) under the null.
  std::size_t scored = 0;
  double score = 0.0;
  /// Of this profile alone, paid for the start.
  double log10_p = 0.0;
  /// After Holm's correction over all profiles tested.
  double log10_p_adjusted = 0.0;
  /// Of this profile alone.
  double log10_e = 0.0;
  /// The start under which `scored`, `score` and the token scores are given.
  Start start = Start::Unknown;
  bool is_marked = false;
};

/// The outcome of a test of one text.
struct Detection {
  Verdict verdict = Verdict::Insufficient;
  /// The smallest p-value of all profiles after correction for all of them: the probability, at
  /// most, that a text independent of the keys looks like this. In log10, exact in the far tail.
  double log10_p = 0.0;
  /// The e-value of "independent of all keys": the mean over the profiles. In log10.
  double log10_e = 0.0;
  /// Positions scored under the profile with the smallest p-value, and that profile's index in
  /// `results`.
  std::size_t scored = 0;
  std::size_t best = 0;
  /// The id of the profile found, empty unless marked.
  std::string profile;
  /// Score of each token under results[best]: -ln(1 - U), of mean 1 without the mark; NaN where a
  /// token is not scored (too little context, a repeated context, outside the start asked for).
  std::vector<double> token_scores;
  /// Number of profiles tested, all paid for.
  std::size_t tested = 0;
  /// log10 of the rate asked for; marked means log10_p at most this.
  double log10_threshold = 0.0;
  /// Every profile tested, in the order given.
  std::vector<ProfileResult> results;
};

/// How one account's key scores a text.
struct AccountScore {
  std::size_t scored = 0;
  double score = 0.0;
  /// For this account alone, paid for the start: not corrected for a search over accounts.
  double log10_p = 0.0;
};

/// Tests texts against the keys of a ring. Immutable and thread-safe; copies share their state.
class COUNTERMARK_API Detector {
 public:
  /// Tests every profile of `ring`, retired ones too. Throws Error(UnknownProfile) where it is
  /// empty, or Error(InvalidOption).
  explicit Detector(const KeyRing& ring, const DetectorOptions& options = {});

  /// Tests the profiles named.
  Detector(const KeyRing& ring, std::span<const std::string> profile_ids,
           const DetectorOptions& options = {});

  /// Tests whether `tokens` are independent of every key. Each context counts once, so the
  /// p-value is exact under that null, whatever wrote the text. O(tokens) time and memory.
  ///
  /// Throws Error(EmptyText), or Error(TokenOutOfRange) naming the position where an id is negative
  /// or not below a profile's vocab_size.
  Detection detect(std::span<const TokenId> tokens, Start start = Start::Both) const;

  /// detect() for every text, on `threads` threads (0: as many as the machine has).
  std::vector<Detection> detect_many(std::span<const std::span<const TokenId>> texts,
                                     Start start = Start::Both, unsigned threads = 0) const;

  /// The score of the wide layer of a profile with accounts under one account's key (empty: no
  /// account). Throws as detect() does, and Error(AccountMismatch) or Error(UnknownProfile).
  AccountScore score_account(std::span<const TokenId> tokens, std::string_view profile_id,
                             std::optional<std::uint64_t> account, Start start = Start::Both) const;

  /// The profiles tested.
  std::vector<Profile> profiles() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace countermark
