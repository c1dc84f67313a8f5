#include "detect/keyed_mark.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "detect/rests.h"
#include "keys/derivation.h"
#include "profiles/profile_impl.h"
#include "stats/sum.h"

namespace countermark::detect {
namespace {

/// The engine's sum under its own null.
SumEvidence sum_of(const marks::TextScores& text) {
  SumEvidence evidence;
  stats::Sum score;
  for (std::size_t i = 0; i < text.rests.size(); ++i) {
    if (std::isnan(text.rests[i])) continue;
    ++evidence.scored;
    score.add(text.scores.empty() ? -std::log(text.rests[i]) : text.scores[i]);
  }
  evidence.score = score.value();
  evidence.log10_p = stats::log10_tail(text.null, evidence.scored, evidence.score);
  evidence.log10_e = stats::log10_e_value(text.null, evidence.scored, evidence.score);
  return evidence;
}

/// As many words as an engine's key has, from keys derived from it; below 2^63, as all engines take
/// them.
keys::Secret engine_decoy(const keys::Secret& like, const std::string& label) {
  const std::size_t size = like.reveal().size();
  std::vector<std::uint8_t> bytes;
  for (std::size_t part = 0; bytes.size() < size; ++part) {
    const keys::Secret derived =
        keys::derive(like, part == 0 ? label : label + "/" + std::to_string(part));
    bytes.insert(bytes.end(), derived.reveal().begin(), derived.reveal().end());
  }
  for (std::size_t last = 7; last < size; last += 8) bytes[last] &= 0x7F;
  keys::Secret key(std::span<const std::uint8_t>(bytes).first(size));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

}  // namespace

KeyedMark::KeyedMark(const keys::Secret& secret, std::variant<marks::Countermark1, EnginePtr> mark)
    : secret_(secret), mark_(std::move(mark)) {}

KeyedMark::KeyedMark(const keys::Secret& secret, const Profile& profile)
    : KeyedMark(secret, profiles::is_engine(profile)
                            ? std::variant<marks::Countermark1, EnginePtr>(
                                  profiles::make_engine_mark(secret, profile))
                            : marks::Countermark1(secret, profiles::parameters_of(profile))) {}

KeyedMark::KeyedMark(const keys::Secret& secret, const marks::Countermark1Parameters& parameters)
    : KeyedMark(secret, marks::Countermark1(secret, parameters)) {}

std::size_t KeyedMark::free_prefix() const noexcept {
  return ours() != nullptr ? static_cast<std::size_t>(ours()->parameters().free_prefix) : 0;
}

std::vector<std::size_t> KeyedMark::widths() const {
  if (ours() == nullptr) return {std::get<EnginePtr>(mark_)->width()};
  const auto& parameters = ours()->parameters();
  std::vector<std::size_t> widths = {static_cast<std::size_t>(parameters.narrow_width),
                                     static_cast<std::size_t>(parameters.wide_width)};
  widths.erase(std::unique(widths.begin(), widths.end()), widths.end());
  return widths;
}

bool KeyedMark::selects() const noexcept {
  return ours() != nullptr || std::get<EnginePtr>(mark_)->selects();
}

KeyedMark::Look KeyedMark::look(std::span<const TokenId> tokens,
                                std::optional<std::span<const TokenId>> prompt, Start start,
                                const CommonNgrams* common) const {
  Look look;
  if (ours() != nullptr) {
    look.rests = rests_of(*ours(), tokens, detect::ours(*ours()), common);
    look.sum = sum_scores(look.rests, free_prefix(), start);
    return look;
  }
  const auto& engine = *std::get<EnginePtr>(mark_);
  marks::TextScores text = engine.score(prompt, tokens);
  if (common != nullptr) {
    const std::size_t width = engine.width();
    for (std::size_t i = width; i < tokens.size(); ++i) {
      if (common->contains(tokens.subspan(i - width, width + 1))) text.rests[i] = marks::not_scored;
    }
  }
  look.sum = sum_of(text);
  // Nothing hangs on it: such a response is marked from its first token.
  if (start == Start::Response) look.sum.start = start;
  look.rests = std::move(text.rests);
  look.engine = std::move(text.engine);
  return look;
}

KeyedMark KeyedMark::decoy(std::size_t i) const {
  const std::string label = std::string("decoy/").append(std::to_string(i));
  if (ours() != nullptr) {
    const keys::Secret key = keys::derive(secret_, label);
    return {key, marks::Countermark1(key, ours()->parameters())};
  }
  const keys::Secret key = engine_decoy(secret_, label);
  return {key, std::get<EnginePtr>(mark_)->with_key(key)};
}

}  // namespace countermark::detect
