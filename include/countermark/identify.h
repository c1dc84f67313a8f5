// Which engine's contract some texts follow, when their key is known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "countermark/export.h"
#include "countermark/token.h"

namespace countermark {

/// What an engine wrote.
struct EngineText {
  std::span<const TokenId> tokens;
  /// What came before in one run of tokens, if that is known.
  std::optional<std::span<const TokenId>> prompt = {};
};

struct IdentifyOptions {
  /// The length of the model's logits. Marks with green lists that are cut from a permutation of
  /// the vocabulary are only tried where it is given.
  std::optional<std::int64_t> vocab_size = {};
  /// Probability of calling any contract the texts' own if none is, in (0, 0.5].
  double false_positive_rate = 1e-6;
  /// 0: one for each core.
  unsigned threads = 0;
};

/// One contract that was tried.
struct ContractFit {
  std::string mark;
  /// Every parameter, as a JSON object: what a profile needs.
  std::string parameters_json;
  /// How many numbers of the key it takes, the first ones; TextSeal's second one is by default the
  /// first plus 12345.
  std::size_t key_words = 1;
  std::size_t scored = 0;
  double score = 0.0;
  /// Of this contract alone.
  double log10_p = 0.0;
  /// After Holm's correction over all contracts tried.
  double log10_p_adjusted = 0.0;
  bool fits = false;
};

/// Tries every contract of every engine known here, each with the parameters in use, on all texts
/// together: what draws the same in two of them counts once. A contract that cannot have this key
/// (SynthID's takes two numbers or more here) is left out. Best first. Contracts that
/// differ in little (the width of a context that rarely matters) may fit together; the first one
/// fits best.
///
/// Throws Error(EmptyText), Error(TokenOutOfRange) for a negative id, Error(InvalidKey) or
/// Error(InvalidOption).
COUNTERMARK_API std::vector<ContractFit> identify(std::span<const EngineText> texts,
                                                  std::span<const std::uint64_t> key,
                                                  const IdentifyOptions& options = {});

}  // namespace countermark
