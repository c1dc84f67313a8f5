// The marks of other engines, as sampling and detection see them. countermark/1 has faster ways of
// its own; what these have in common is here, and each engine's contract in a file beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "countermark/engine_result.h"
#include "countermark/error.h"
#include "countermark/token.h"
#include "keys/secret.h"
#include "marks/candidate.h"
#include "marks/selection.h"
#include "stats/sum_null.h"

namespace countermark::marks {

inline constexpr double not_scored = std::numeric_limits<double>::quiet_NaN();

/// What a text says of a key, token by token.
struct TextScores {
  /// The probability under the null of a score at least as large, for each token; NaN where it is
  /// not scored. Uniform, or stochastically larger.
  std::vector<double> rests;
  /// What the mark adds up; empty where that is -ln(rest).
  std::vector<double> scores;
  /// What each scored token draws: one draw is evidence once, in one text or in several.
  std::vector<std::uint64_t> draws;
  /// Of the sum.
  stats::SumNull null;
  EngineResult engine;
};

/// A response as it grows, and what the mark does to the next draw. Each mark overrides what it
/// does: selects, or shifts probabilities (reweigh) or logits (bias).
class EngineWalk {
 public:
  virtual ~EngineWalk() = default;
  virtual std::unique_ptr<EngineWalk> clone() const = 0;

  /// Appends a token (0 or more); `was_marked`: it was drawn here by the mark.
  virtual void observe(TokenId token, bool was_marked) = 0;
  /// Takes the last `count` tokens of the response back, at most all.
  virtual void rollback(std::size_t count) noexcept = 0;
  /// The response's tokens.
  virtual std::span<const TokenId> tokens() const noexcept = 0;

  /// Whether the mark draws the next token from these candidates.
  virtual bool is_marked(std::span<const Candidate> candidates) const = 0;

  /// The token that the mark selects of the candidates (at least one), or none where the draw is an
  /// ordinary one. `coin` is uniform in (0, 1), and new at every position: some engines toss one.
  virtual std::optional<TokenId> select(std::span<const Candidate> candidates, double coin) const;
  /// Changes the weights that are drawn from.
  virtual void reweigh(std::span<Candidate> candidates) const;
  /// Whether it does so where nothing is drawn, too.
  virtual bool reweighs_greedy() const noexcept { return false; }
  /// Where logits are biased, if at all; also where nothing is drawn. After truncation reweigh()
  /// does it.
  enum class Bias : std::uint8_t { None, BeforeTruncation, AfterTruncation };
  virtual Bias biases() const noexcept { return Bias::None; }
  virtual void bias(std::span<float> logits) const;
};

/// A mark with its key. Immutable and thread-safe.
class EngineMark {
 public:
  virtual ~EngineMark() = default;

  /// Tokens of context.
  virtual std::size_t width() const noexcept = 0;
  /// Whether a marked token was selected by its U alone, so that a proxy's probabilities say how
  /// large that is likely to be.
  virtual bool selects() const noexcept = 0;

  /// `prompt` is what came before the response in one run of tokens, if that is known; else tokens
  /// whose context could reach into it are left out.
  virtual TextScores score(std::optional<std::span<const TokenId>> prompt,
                           std::span<const TokenId> tokens) const = 0;

  /// Whether each token after each context has a uniform of its own, drawn by the key alone: what a
  /// model that is trained on marked text may learn.
  virtual bool draws_pairs() const noexcept { return false; }
  /// Of a mark that draws_pairs(): 1 - U of each of `tokens` after a context of width() tokens to
  /// `rests`, in (0, 1], the steps of the engine's U filled in. Returns what was drawn: contexts of
  /// one value share their uniforms.
  virtual std::uint64_t rests_after(std::span<const TokenId> context,
                                    std::span<const TokenId> tokens, std::span<double> rests) const;

  virtual std::unique_ptr<EngineWalk> walk(std::span<const TokenId> prompt) const = 0;

  /// The same mark under another key.
  virtual std::shared_ptr<const EngineMark> with_key(const keys::Secret& secret) const = 0;
};

/// 1 - U of a token where `step` (0 the least U) of `steps` was drawn: uniform within the step by a
/// hash that knows no key, so that the whole is uniform on (0, 1].
double rest_within(std::uint64_t step, double steps, std::uint64_t context, TokenId token) noexcept;

/// The candidate with the least exponential(token) over weight, an exponential being -ln U.
template <typename Exponential>
TokenId select_least(std::span<const Candidate> candidates, Exponential&& exponential) {
  Selection selection;
  for (const auto& [token, weight] : candidates) {
    selection.offer(token, exponential(token), weight);
  }
  return selection.token();
}

/// The key that consists of these words.
keys::Secret key_of(std::span<const std::uint64_t> words);
/// Word `i` of an engine's key: 64 bits, little-endian.
std::uint64_t word_of(const keys::Secret& secret, std::size_t i) noexcept;
std::size_t words_of(const keys::Secret& secret) noexcept;

/// Throws Error(InvalidKey) unless the key has `least` to `most` words.
void require_words(const keys::Secret& secret, std::size_t least, std::size_t most);

/// Throws Error(InvalidKey) where two words are equal, which would be counted as two and are one.
void require_distinct_words(const keys::Secret& secret);

}  // namespace countermark::marks
