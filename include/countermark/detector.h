// Finds marks in tokens of any origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "countermark/calibration.h"
#include "countermark/engine_result.h"
#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/token.h"

namespace countermark {

/// What a text says of the keys it was tested with. Never that a human wrote it.
enum class Verdict {
  /// Sampled by us, or copied, stitched or learned from us.
  Marked,
  /// It does not show, and a marked text of this length (and entropy, where it is known) would as
  /// likely as not have shown.
  NotMarkedByTheseKeys,
  /// Too few tokens were scored, or with too little entropy, under one of the keys, to expect that.
  Insufficient,
};

/// What is assumed of the text.
enum class Start {
  /// It is a part of one response, from anywhere in it: every token is scored, by the sum alone.
  Unknown,
  /// It is one whole response: the free prefix, drawn without the mark, is skipped.
  Response,
  /// Nothing: both are tried, and so are edited texts and texts of which a part is marked. Every
  /// test has its share of the error rate, fixed beforehand.
  Both,
};

/// The statistics that a text may be tested with: docs/detection.md.
enum class Statistic {
  Sum,            ///< The sum of the scores.
  GoodnessOfFit,  ///< Whether some scores are too high: edited texts.
  Scan,           ///< Windows of the text: texts of which a part is marked.
  Likelihood,     ///< Likelihood ratios, given a language model's probabilities.
  Replay,         ///< The draws themselves, given the model that was sampled.
};

struct DetectorOptions {
  /// Probability of calling a text marked that is independent of every key tested, in (0, 0.5].
  double false_positive_rate = 1e-6;
  /// What is known of the keys on unmarked text; profiles without one are tested as they are.
  std::vector<Calibration> calibrations = {};
};

/// What a language model, any one, thinks of a text. A model that is not the one that was sampled
/// costs power, never validity: all that must hold is that the model does not know the key (as one
/// does that learned from marked text).
struct Proxy {
  /// The probability of each token given those before it, in [0, 1]; NaN where it is not known, and
  /// 0 says as little.
  std::span<const double> probabilities;
  /// Sum of the entropies of the distributions, in bits, where it is known.
  std::optional<double> entropy_bits = {};
};

/// One statistic of one text under one key.
struct Test {
  Statistic statistic = Statistic::Sum;
  /// Its share of the error rate: the shares of a profile's tests add up to 1.
  double share = 1.0;
  /// Of this test alone, paid for the starts or windows it tries. NaN where it was not worked out,
  /// since p / share could not have been below 1/100.
  double log10_p = 0.0;
};

/// What one profile's key found.
struct ProfileResult {
  std::string profile;
  /// Positions scored, and the sum of their scores: Gamma(scored, 1) under the null, for the mark
  /// of another engine what that adds up.
  std::size_t scored = 0;
  double score = 0.0;
  /// Of this profile alone, paid for all its tests: the least of p / share.
  double log10_p = 0.0;
  /// After Holm's correction over all profiles tested.
  double log10_p_adjusted = 0.0;
  /// Of this profile alone.
  double log10_e = 0.0;
  /// log10 of the factor by which its calibration enlarges every p-value; 0 without one.
  double log10_inflation = 0.0;
  /// The start under which `scored`, `score` and the token scores are given.
  Start start = Start::Unknown;
  bool is_marked = false;
  std::vector<Test> tests;
  /// For the marks of other engines.
  std::optional<EngineResult> engine = {};
};

/// A part of a text that a key marked.
struct Region {
  std::string profile;
  /// Tokens begin to end - 1.
  std::size_t begin = 0;
  std::size_t end = 0;
  /// The same in characters, once locate() was called.
  std::optional<std::pair<std::size_t, std::size_t>> characters = {};
  std::size_t scored = 0;
  double score = 0.0;
  /// Of its strongest window, after correction for every window, test and profile tried.
  double log10_p = 0.0;
};

/// The outcome of a test of one text.
struct Detection {
  Verdict verdict = Verdict::Insufficient;
  /// The smallest p-value of all profiles after correction for everything that was tried: the
  /// probability, at most, that a text independent of the keys looks like this. In log10, exact in
  /// the far tail.
  double log10_p = 0.0;
  /// The e-value of "independent of all keys": the mean over the profiles. In log10.
  double log10_e = 0.0;
  /// Positions scored under the profile with the smallest p-value, and that profile's index in
  /// `results`.
  std::size_t scored = 0;
  std::size_t best = 0;
  /// The id of the profile found, empty unless marked.
  std::string profile;
  /// The parts that are marked, in the order of the text, at the rate asked for; only where nothing
  /// is assumed of the start.
  std::vector<Region> regions;
  /// Score of each token under results[best]: -ln(1 - U), of mean 1 without the mark; NaN where a
  /// token is not scored (too little context, a repeated context, a common n-gram, outside
  /// the start asked for).
  std::vector<double> token_scores;
  /// Number of profiles tested, and of variants of the text (Detector::detect_variants), all paid
  /// for.
  std::size_t tested = 0;
  std::size_t variants = 1;
  /// The variant that the rest is about.
  std::size_t variant = 0;
  /// Sum of the entropies that the tokens were drawn from, in bits, where a model told; in a
  /// replay, of the tokens scored.
  std::optional<double> entropy_bits = {};
  /// About how many tokens more of the same kind a marked text would need to show as likely as
  /// not; 0 unless insufficient, and without a number where no length would do.
  std::optional<std::size_t> tokens_to_decide = 0;
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

/// A key among keys that never marked anything.
struct DecoyRank {
  std::string profile;
  /// log10 p of the key, and of each decoy, as ProfileResult::log10_p but for the inflation.
  double log10_p = 0.0;
  std::vector<double> decoys;
  /// 1 where no decoy has as small a p-value.
  std::size_t rank = 1;
  /// log10 of rank / (decoys + 1): an exact p-value that assumes nothing of the text.
  double log10_rank_p = 0.0;
  /// False where the decoys' own p-values are too small for chance (a corrected p of 10^-3): then
  /// the text breaks an assumption of the p-values, and only the rank can be relied on.
  bool agrees = true;
};

/// Tests texts against the keys of a ring. Immutable and thread-safe; copies share their state.
class COUNTERMARK_API Detector {
 public:
  /// Tests every profile of `ring`, retired ones too. Throws Error(UnknownProfile) where it is
  /// empty, Error(InvalidOption), or Error(InvalidCalibration) where a calibration is for another
  /// key or mark, or for none of the profiles.
  explicit Detector(const KeyRing& ring, const DetectorOptions& options = {});

  /// Tests the profiles named.
  Detector(const KeyRing& ring, std::span<const std::string> profile_ids,
           const DetectorOptions& options = {});

  /// Tests whether `tokens` are independent of every key. Each context counts once, so the
  /// p-value is exact under that null, whatever wrote the text. O(tokens) memory, and time
  /// O(tokens log tokens) at most.
  ///
  /// Throws Error(EmptyText), or Error(TokenOutOfRange) naming the position where an id is negative
  /// or not below a profile's vocab_size.
  ///
  /// `prompt` is what came before the response in one run of tokens, if that is known. Marks
  /// of engines whose contexts reach into it score the first tokens too then; the others do not
  /// look at it.
  Detection detect(std::span<const TokenId> tokens, Start start = Start::Both,
                   std::optional<std::span<const TokenId>> prompt = {}) const;

  /// The same with a language model's probabilities at hand, which weigh a token by what it can
  /// say. Throws also Error(SizeMismatch) or Error(InvalidProbability).
  Detection detect(std::span<const TokenId> tokens, const Proxy& proxy, Start start = Start::Both,
                   std::optional<std::span<const TokenId>> prompt = {}) const;

  /// The detection of that variant of one text (the original, the original normalised...) with the
  /// smallest p-value, corrected for all of them. At least one.
  Detection detect_variants(std::span<const std::span<const TokenId>> variants,
                            Start start = Start::Both) const;

  /// detect() for every text, on `threads` threads (0: as many as the machine has).
  std::vector<Detection> detect_many(std::span<const std::span<const TokenId>> texts,
                                     Start start = Start::Both, unsigned threads = 0) const;

  /// Ranks a profile's key among `decoys` keys derived from its secret (derive("decoy/0"), ...),
  /// which test the text in the same way. Throws as detect() does, Error(UnknownProfile), and
  /// Error(InvalidOption) unless there are 1 to 100,000 decoys.
  DecoyRank rank(std::span<const TokenId> tokens, std::string_view profile_id,
                 std::size_t decoys = 99, Start start = Start::Both) const;

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

/// Gives a detection's regions their characters: `characters[i]` is the range that token i stands
/// for. Throws Error(SizeMismatch) where there is not one for each token.
COUNTERMARK_API void locate(Detection& detection,
                            std::span<const std::pair<std::size_t, std::size_t>> characters);

}  // namespace countermark
