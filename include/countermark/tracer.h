// Which account a text was marked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "countermark/detector.h"
#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/token.h"

namespace countermark {

/// Told now and then, on the caller's thread, how much of a long search is done. What it throws
/// ends the search.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

/// What a text says of the accounts that were searched.
enum class TraceVerdict {
  /// At least one account is accused: of all the text or of a part of it.
  Account,
  /// None is: the text was marked for no account, or a text of this length that had been marked for
  /// one of those searched would as likely as not have shown it.
  NoAccount,
  /// None is, and the text is too short, or of too little entropy, to expect that; or an account is
  /// too high for chance and does not stand out from the next one.
  Insufficient,
};

struct TracerOptions {
  /// Probability of accusing any account if the text is independent of the keys of all of them, in
  /// (0, 0.5].
  double false_accusation_rate = 1e-3;
  /// The p-value of the best account that is not accused must be at least so many times that of
  /// those who are; 1 or more. Of accounts that are all innocent the best stands out by this much
  /// once in `least_gap` times, also where all p-values are wrong by one factor.
  double least_gap = 100.0;
  /// How many of the best accounts are told, 1 to 1,000.
  std::size_t candidates = 10;
  /// A file of the accounts' keys (build_account_index); without it they are derived in memory.
  std::filesystem::path index = {};
  /// As for key rings.
  bool allow_readable_by_others = false;
  /// 0: one for each core.
  unsigned threads = 0;
  Progress progress = {};
};

/// How the key of one account, or of none, scores the wide layer of a text.
struct AccountCandidate {
  /// Empty: no account.
  std::optional<std::uint64_t> account;
  /// Wide positions scored and the sum of their scores, Gamma(scored, 1) under the null, for
  /// `start`.
  std::size_t scored = 0;
  double score = 0.0;
  Start start = Start::Unknown;
  /// Of this account alone: paid for the starts, not for the search. By the likelihood where a
  /// language model's probabilities are given.
  double log10_p = 0.0;
  /// After the share of the test and all that were searched.
  double log10_p_adjusted = 0.0;
  double log10_e = 0.0;
  /// By the whole text, or by a part of it.
  bool is_accused = false;
};

/// A part of a text that was marked for an account.
struct TracedRegion {
  std::uint64_t account = 0;
  /// Tokens begin to end - 1.
  std::size_t begin = 0;
  std::size_t end = 0;
  /// The same in characters, once locate() was called.
  std::optional<std::pair<std::size_t, std::size_t>> characters = {};
  std::size_t scored = 0;
  double score = 0.0;
  /// Of its strongest window, corrected for every window, test and account tried.
  double log10_p = 0.0;
  /// log10 of the p-value over this part of the best other account, less this account's.
  double log10_gap = 0.0;
};

/// What the narrow layer says, which is the same for all accounts: "ours", never whose.
struct OursEvidence {
  std::size_t scored = 0;
  double score = 0.0;
  double log10_p = 0.0;
  double log10_e = 0.0;
};

/// The outcome of a search over all accounts for one text.
struct Trace {
  TraceVerdict verdict = TraceVerdict::Insufficient;
  /// The accused account with the smallest p-value, and all of them, that one first.
  std::optional<std::uint64_t> account;
  std::vector<std::uint64_t> accused;
  /// The smallest p-value of any account, corrected for everything that was tried: the probability,
  /// at most, that a text which is independent of all accounts' keys makes one look like this.
  double log10_p = 0.0;
  /// The e-value of the account that has the largest one, divided by the number of hypotheses: an
  /// e-value itself, also for texts marked for somebody else.
  double log10_e = 0.0;
  /// log10 of the p-value of the best account that is not accused, less that of the last one that
  /// is (or of the best, where none is); where parts of the text alone accuse, the least of theirs.
  double log10_gap = 0.0;
  /// Positions of the wide layer.
  std::size_t scored = 0;
  /// Accounts searched, and "no account".
  std::size_t tested = 0;
  /// The best of them, best first, and whoever else is accused; "no account" is always among them,
  /// last if it is not one of the best.
  std::vector<AccountCandidate> candidates;
  /// The parts that were marked for the accused, in the order of the text; only where nothing is
  /// assumed of the start.
  std::vector<TracedRegion> regions;
  /// The tests made and their shares of the error rate; their p-values are of the best account
  /// alone, not corrected for the search.
  std::vector<Test> tests;
  /// The narrow layer.
  OursEvidence ours;
  /// Narrow layer and wide layer under the best hypothesis together, corrected for the search: says
  /// "ours", with more power than the narrow layer alone.
  double log10_p_combined = 0.0;
  /// Scores of the tokens of the wide layer under `account` or, where none is accused, under
  /// candidates.front(); NaN elsewhere.
  std::vector<double> token_scores;
  /// About how many tokens more of the same kind would show an account as likely as not; 0 unless
  /// insufficient, and without a number where no length would do or the gap is missing.
  std::optional<std::size_t> tokens_to_decide = 0;
  /// log10 of the rate asked for.
  double log10_threshold = 0.0;
};

/// Searches the accounts of one profile. Immutable and thread-safe; copies share their state.
class COUNTERMARK_API Tracer {
 public:
  /// `accounts` are the ids that were given to Sampler::sequence, each once, in any order (in
  /// ascending order it takes less time to see that none occurs twice); they are copied.
  ///
  /// Throws Error(UnknownProfile), Error(AccountMismatch) where the profile has no accounts, and so
  /// does not trace, Error(InvalidOption) where there is none or an option is out of range,
  /// Error(InvalidAccounts) where an account occurs twice or the index is not that of these
  /// accounts, Error(FileFailure) or
  /// Error(ReadableByOthers).
  Tracer(const KeyRing& ring, std::string_view profile_id, std::span<const std::uint64_t> accounts,
         const TracerOptions& options = {});

  /// Searches for the account that `tokens` were marked for. The innocent account's null is
  /// independence of its own key: it holds whoever wrote the text, and for whomever else it was
  /// marked. Time O(accounts x wide positions); memory O(tokens), and where parts are looked for
  /// 64 bytes a token for each thread.
  ///
  /// Throws Error(EmptyText), Error(TokenOutOfRange), or Error(InvalidAccounts) where an
  /// account found has another key than the index says.
  Trace trace(std::span<const TokenId> tokens, Start start = Start::Both) const;

  /// The same with a language model's probabilities at hand, which weigh a token by what it
  /// can say. Throws also Error(SizeMismatch) or Error(InvalidProbability).
  Trace trace(std::span<const TokenId> tokens, const Proxy& proxy, Start start = Start::Both) const;

  /// Each account's sum of scores over the whole wide layer, in the order given: Gamma(n, 1) for
  /// n = scored(tokens) wherever the text is independent of the account's key.
  std::vector<double> scores(std::span<const TokenId> tokens) const;

  /// The number of positions of the wide layer that are scored.
  std::size_t scored(std::span<const TokenId> tokens) const;

  const Profile& profile() const noexcept;
  std::span<const std::uint64_t> accounts() const noexcept;

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }  // for the library itself

 private:
  std::shared_ptr<const Impl> impl_;
};

/// Gives a trace's regions their characters: `characters[i]` is the range that token i stands for.
/// Throws Error(SizeMismatch) where there is not one for each token.
COUNTERMARK_API void locate(Trace& trace,
                            std::span<const std::pair<std::size_t, std::size_t>> characters);

struct AccountIndexOptions {
  bool allow_readable_by_others = false;
  unsigned threads = 0;
  Progress progress = {};
};

/// Writes the keys of `accounts` to a file of 16 bytes an account, of mode 0600, which a Tracer
/// maps into memory: docs/accounts.md. Where the file is there already it must hold the keys of the
/// first of these accounts, and those of the others are appended. Returns how many were.
///
/// The file's keys are secret: whoever has them can mark text for any account in it. Throws
/// Error(InvalidAccounts) where it is of another key or other accounts, Error(FileFailure),
/// and as Tracer does.
COUNTERMARK_API std::size_t build_account_index(const KeyRing& ring, std::string_view profile_id,
                                                std::span<const std::uint64_t> accounts,
                                                const std::filesystem::path& path,
                                                const AccountIndexOptions& options = {});

}  // namespace countermark
