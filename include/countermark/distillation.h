// Whether a model was trained on marked answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/ledger.h"
#include "countermark/token.h"

namespace countermark {

/// What a pair of context and token counts for: from how often the suspect shows it, never from the
/// key. Which weights decide the power, not the validity; fix them before looking.
enum class PairWeights {
  /// 1 for each pair that occurred.
  Equal,
  /// ln(1 + n) for one that occurred n times.
  Log,
  /// By how much it occurred more often than expected, by reference texts or another model's
  /// predictions: popularity cancels. Pairs that were expected and did not occur count too,
  /// against.
  Reference,
  /// The same weight for another score, U^(1 / P - 1) - P, P being how likely the token was
  /// expected to be: that of the locally most powerful test. Its p-value is Chernoff's bound.
  MostPowerful,
};

struct DistillationOptions {
  PairWeights weights = PairWeights::Log;
  /// Keys derived from the secret that marked nothing, tested beside it; at most 100,000.
  std::size_t decoys = 99;
  /// 0: one for each core.
  unsigned threads = 0;
  /// Only contexts that it holds are looked at: a student cannot have learned others. Of the
  /// profile's key.
  std::optional<Ledger> ledger = {};
  /// Whether one may stop as soon as the evidence suffices, whenever that is: the test then looks
  /// at fixed numbers of positions, and spends its error rate on the looks.
  /// That holds where what is asked next does not hang on what was found.
  bool sequential = false;
};

/// A token that a model holds possible.
struct TokenProbability {
  TokenId token = 0;
  double probability = 0.0;
};

/// A model's predictions for a text: row i is for token i, given those before it.
using Predictions = std::span<const std::span<const TokenProbability>>;

/// The predictions of a model that does not know the key for the same text: at best one that was
/// trained as the suspect was, on text that nobody marked. Where some texts have them all must, and
/// reference texts are not looked at then.
using Expected = std::optional<Predictions>;

/// What a sequential test has found at one of its looks.
struct DistillationLook {
  std::size_t positions = 0, scored = 0;
  /// Of this look alone, before the correction for looking.
  double log10_p = 0.0, log10_e = 0.0;
  /// The share of the error rate that is spent here.
  double share = 0.0;
};

/// What a suspect's answers or predictions say.
struct DistillationResult {
  /// Of "the suspect is independent of the key". In log10. Where the key decided what is looked at
  /// (a ledger, texts that were served) the p-value is 1 / e; else it is exact, or Chernoff's bound
  /// for PairWeights::MostPowerful. In sequential mode both hold whenever one stops.
  double log10_p = 0.0;
  double log10_e = 0.0;
  /// Answers and readings, and their positions that count.
  std::size_t texts = 0, positions = 0;
  /// Pairs of context and token that this key has drawn for: of its narrow layer.
  std::size_t scored = 0;
  /// log10 p of each decoy.
  std::vector<double> decoys;
  /// 1 where no decoy has as small a p-value.
  std::size_t decoy_rank = 1;
  /// log10 of rank / (decoys + 1): a p-value that assumes nothing but that the keys were drawn
  /// alike. 0 where the key decided what is looked at, since they were not, and in sequential mode,
  /// since one may have stopped for it.
  double log10_rank_p = 0.0;
  /// False where the decoys' own p-values are too small for chance (a corrected p of 10^-3).
  bool decoys_agree = true;
  /// What was found at each look so far, in sequential mode.
  std::vector<DistillationLook> looks;
};

/// What a suspect has learned from one account's responses.
struct LearnedAccount {
  std::uint64_t account = 0;
  /// Of "the suspect is independent of what was served to this account alone".
  double log10_e = 0.0;
  /// Contexts that were marked in its responses alone and that the suspect shows, and their pairs.
  std::size_t contexts = 0, scored = 0;
  bool is_discovered = false;
};

struct LearnedAccounts {
  /// Those with an e-value above 1, discovered or not; the strongest first.
  std::vector<LearnedAccount> accounts;
  /// Accounts in the logs.
  std::size_t tested = 0;
  std::size_t discovered = 0;
  /// log10 of the least e-value that is a discovery, where there is one.
  double log10_e_least = 0.0;
};

/// Tests whether a model has learned what a profile's mark chose ("radioactivity"; of countermark/1
/// the narrow layer): the statistic is the weighted sum of the scores -ln(1 - U) of all pairs of
/// context and token that it shows, each once, under an exact null. docs/distillation.md.
///
/// Not thread-safe while texts are added; result() is const.
class COUNTERMARK_API DistillationTest {
 public:
  /// For countermark/1, vllm/gumbel-1, vllm/gumbel-0, sglang/aaronson-1 and
  /// sglang/aaronson-dual-1. Throws Error(UnknownProfile), Error(UnknownMark) where the profile has
  /// another, Error(InvalidOption) where it has no narrow layer or contexts of more than four
  /// tokens, or an option is out of range, or Error(InvalidLedger) where the ledger is of another
  /// key or width.
  DistillationTest(const KeyRing& ring, std::string_view profile_id,
                   const DistillationOptions& options = {});

  /// An answer of a closed model. Contexts that the prompt goes on from are left out, since a model
  /// copies its prompt; the prompt must not have been marked under this key. Throws
  /// Error(EmptyText) or Error(TokenOutOfRange), and then nothing has changed.
  void add_answer(std::span<const TokenId> prompt, std::span<const TokenId> answer,
                  const Expected& expected = {});

  /// An open model's predictions for a text: `rows[i]` are those for token i given the tokens
  /// before it, the likely ones. A context that occurred before in the text is left out. The text
  /// must not have been marked under this key. Throws also Error(SizeMismatch) or
  /// Error(InvalidProbability).
  void add_reading(std::span<const TokenId> tokens, Predictions rows,
                   const Expected& expected = {});

  /// The same for a response that this profile marked, from the logs: where it was marked, and only
  /// the first time in all of them. From then on the p-value is 1 / e.
  ///
  /// It holds for whole responses in the order in which they were served, all of those whose tokens
  /// a later one's prompt may have had, and none chosen for what was drawn. `rows` (and `expected`)
  /// have one row more than there are tokens where the response ended by a token that the log has
  /// not: what the suspect held possible there. For countermark/1 alone: Error(UnknownMark).
  void add_served_reading(std::span<const TokenId> tokens, Predictions rows,
                          const Expected& expected = {});

  /// Text that does not know the key and is like the answers, to expect by: at best the answers to
  /// the same prompts of a model that was trained as the suspect was, on text that nobody marked.
  void add_reference(std::span<const TokenId> tokens);

  /// A response from the logs, and whom it was served to; for learned_accounts() alone. The logs
  /// must be complete: a context that somebody else was served too would speak against the account.
  /// So would prompts of another account that follow from this one's responses: take accounts that
  /// may work together for one.
  /// Throws Error(EmptyText), Error(TokenOutOfRange), or Error(UnknownMark) unless the mark is
  /// countermark/1.
  void add_log(std::uint64_t account, std::span<const TokenId> response);

  /// Which accounts of the logs the suspect has learned from: each by the contexts that were marked
  /// in its responses alone, where how much was asked did not hang on the evidence. At most
  /// `false_discovery_rate` (in (0, 0.5]) of those discovered are expected to be there by chance
  /// (e-BH). Throws Error(InvalidOption), Error(UnknownMark) as add_log() does, and
  /// Error(EmptyText) as result() does.
  LearnedAccounts learned_accounts(double false_discovery_rate = 0.01) const;

  /// Positions that count so far.
  std::size_t positions() const noexcept;

  /// The number of positions at which a sequential test looks for the first time (`look` 0), the
  /// second, and so on: 2^12, 2^12.5, 2^13, ...
  static std::size_t positions_at(std::size_t look) noexcept;

  /// What is known so far. With PairWeights::Reference or MostPowerful throws Error(EmptyText)
  /// where there is nothing to expect by.
  DistillationResult result() const;

  DistillationTest(DistillationTest&&) noexcept;
  DistillationTest& operator=(DistillationTest&&) noexcept;
  ~DistillationTest();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countermark
