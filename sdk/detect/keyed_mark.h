// A mark with its key, whosever it is, as detection sees it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "countermark/detector.h"
#include "countermark/profile.h"
#include "detect/common_ngrams.h"
#include "detect/sum.h"
#include "marks/countermark_1.h"
#include "marks/engine_mark.h"

namespace countermark::detect {

class KeyedMark {
  using EnginePtr = std::shared_ptr<const marks::EngineMark>;

 public:
  /// Throws Error(InvalidKey) or Error(CryptoFailure).
  KeyedMark(const keys::Secret& secret, const Profile& profile);
  KeyedMark(const keys::Secret& secret, const marks::Countermark1Parameters& parameters);

  /// Our own mark, or none.
  const marks::Countermark1* ours() const noexcept {
    return std::get_if<marks::Countermark1>(&mark_);
  }

  /// Another engine's, or none.
  const marks::EngineMark* engine() const noexcept {
    const auto* const engine = std::get_if<EnginePtr>(&mark_);
    return engine == nullptr ? nullptr : engine->get();
  }

  /// Tokens at the start of a response that carry no mark.
  std::size_t free_prefix() const noexcept;
  /// Tokens of context, of each layer where they differ; the first is what a region's beginning
  /// reaches back.
  std::vector<std::size_t> widths() const;
  /// Whether a marked token was selected by its U, so that its probability says how large that is.
  bool selects() const noexcept;

  /// The text's scores and their sum; see Examination.
  struct Look {
    std::vector<double> rests;
    SumEvidence sum;
    std::optional<EngineResult> engine;
  };
  /// "Ours", but for `common` n-grams. `prompt` is what came before, if that is known.
  /// Throws Error(CryptoFailure).
  Look look(std::span<const TokenId> tokens, std::optional<std::span<const TokenId>> prompt,
            Start start, const CommonNgrams* common) const;

  /// The same mark under decoy key `i` of its secret, derive("decoy/i") and, for engines whose keys
  /// are longer, derive("decoy/i/1") and so on.
  KeyedMark decoy(std::size_t i) const;

 private:
  KeyedMark(const keys::Secret& secret, std::variant<marks::Countermark1, EnginePtr> mark);

  keys::Secret secret_;
  std::variant<marks::Countermark1, EnginePtr> mark_;
};

}  // namespace countermark::detect
