// Which accounts a corpus was taken from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "countermark/export.h"
#include "countermark/token.h"
#include "countermark/tracer.h"

namespace countermark {

struct ScreeningOptions {
  /// The expected share of innocent accounts among those discovered, at most; in (0, 0.5].
  double false_discovery_rate = 0.01;
  /// Texts whose narrow layer has a p-value above this are not searched: that layer knows nothing
  /// of accounts, so that no error rate changes. In (0, 1]; 1 searches every text.
  double ours_rate = 0.1;
};

/// What became of one text.
struct ScreenedText {
  /// Its number, from 0 in the order of the calls.
  std::size_t text = 0;
  OursEvidence ours;
  /// Whether all accounts were searched: not where the narrow layer's p-value is above ours_rate,
  /// or where earlier texts had all that this one has.
  bool is_searched = false;
  /// Wide positions that no earlier text had with the same token, and that count here.
  std::size_t scored = 0;
  /// Whether any account's evidence will name it.
  bool is_evidence = false;
};

/// One text's part in the evidence against an account.
struct TextEvidence {
  std::size_t text = 0;
  std::size_t scored = 0;
  double log10_e = 0.0;
};

/// All the evidence against one account.
struct AccountEvidence {
  std::uint64_t account = 0;
  /// Of "all texts of the corpus are independent of this account's key".
  double log10_e = 0.0;
  bool is_discovered = false;
  /// The texts with an e-value of 1,000 or more, the strongest first.
  std::vector<TextEvidence> texts;
};

struct ScreeningResult {
  /// Those with an e-value above 1, discovered or not; the strongest first.
  std::vector<AccountEvidence> accounts;
  std::size_t discovered = 0;
  /// log10 of the least e-value that is a discovery, where there is one.
  double log10_e_least = 0.0;
  std::size_t texts = 0;
  std::size_t searched = 0;
  /// Accounts, all of them hypotheses.
  std::size_t tested = 0;
};

/// Screens texts one after another for all accounts of a tracer. An account's e-value is a product
/// over the texts of 1 - r + r e, e being the text's own and r its account's share of the
/// texts, averaged over shares 1/2, 1/16, ..., 1/8192: a martingale under the null, so
/// that one may look at any time. The same token in the same context counts once in the corpus,
/// which makes texts independent of each other under the null even where they are copies. Accounts
/// are discovered by e-BH, whose false discovery rate holds whatever accounts have to do with each
/// other (Wang & Ramdas, J. R. Stat. Soc. B 84 (2022) 822-852).
///
/// E-values of a text below 10 count as 0. Takes 40 bytes an account, and 16 to 32 for each
/// position searched. A Screening belongs to one thread at a time; a search uses the tracer's
/// threads.
class COUNTERMARK_API Screening {
 public:
  /// Throws Error(InvalidOption).
  explicit Screening(const Tracer& tracer, const ScreeningOptions& options = {});

  /// Throws as Tracer::trace does, and then nothing has changed.
  ScreenedText add(std::span<const TokenId> tokens, Start start = Start::Both);

  /// What is known so far.
  ScreeningResult result() const;

  Screening(Screening&&) noexcept;
  Screening& operator=(Screening&&) noexcept;
  ~Screening();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countermark
