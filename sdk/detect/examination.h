// Everything that one key can say of one text: which tests are made, and what each may cost.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "countermark/detector.h"
#include "detect/common_ngrams.h"
#include "detect/keyed_mark.h"
#include "detect/scan.h"

namespace countermark::detect {

/// The share of the error rate of each test that is made beside the main one, which has the rest:
/// the sum, or the likelihood where there is one. A test that never helps costs the main one
/// -log10(1 - share), that is 0.02 of a decade; one that helps pays log10(1 / share), 1.3 decades.
inline constexpr double side_share = 0.05;

/// The mean score of a typical marked text, which depends on the entropy and so is not known to a
/// detector with only the key: that of a model at a moderate temperature (docs/detection.md).
inline constexpr double typical_score = 1.5;

struct Question {
  std::span<const TokenId> tokens;
  /// Empty, or of as many entries, in (0, 1] or NaN.
  std::span<const double> probabilities = {};
  Start start = Start::Both;
  /// What came before, if that is known.
  std::optional<std::span<const TokenId>> prompt = {};
  /// Parts of the text are told whose p-value is at most this; none where it is not given.
  std::optional<double> log10_bar = {};
};

struct Examination {
  /// 1 - U of each token, NaN where it is not scored under `start`.
  std::vector<double> rests;
  Start start = Start::Unknown;
  std::size_t scored = 0;
  double score = 0.0;
  /// Paid for all tests, and the mean of their e-values by their shares.
  double log10_p = 0.0;
  double log10_e = 0.0;
  /// The tests that were made. Which they are, and their shares, depends on the number
  /// of tokens scored and on what is known, never on the scores.
  std::vector<Test> tests;
  /// Paid for the tests too.
  std::vector<Window> regions;
  /// With probabilities: what the likelihood's log10_e would be if the text were marked.
  double expected_log10_e = 0.0;
  std::optional<EngineResult> engine;
};

/// "Ours", but for `common` n-grams. Throws Error(CryptoFailure).
Examination examine(const KeyedMark& mark, const Question& question,
                    const CommonNgrams* common = nullptr);

}  // namespace countermark::detect
