#include "detect/input.h"

#include <algorithm>
#include <limits>

#include "base/fail.h"
#include "profiles/profile_impl.h"

namespace countermark::detect {

void require_text(const Profile& profile, std::span<const TokenId> tokens) {
  if (tokens.empty()) fail(ErrorCode::EmptyText, "the text is empty: there is no token to examine");
  if (const auto bad = profiles::first_out_of_range(profile, tokens); bad < tokens.size()) {
    fail(ErrorCode::TokenOutOfRange, "token ", bad, " of the text is ", tokens[bad],
         ", but profile \"", profile.id(), "\" has ids 0..", profiles::id_limit(profile) - 1,
         " (is the text tokenised with another tokenizer? name the profiles that are for it)");
  }
}

void require_prompt(const Profile& profile, std::span<const TokenId> prompt) {
  if (const auto bad = profiles::first_out_of_range(profile, prompt); bad < prompt.size()) {
    fail(ErrorCode::TokenOutOfRange, "token ", bad, " of the prompt is ", prompt[bad],
         ", but profile \"", profile.id(), "\" has ids 0..", profiles::id_limit(profile) - 1);
  }
}

std::vector<double> read(const Proxy& proxy, std::size_t tokens) {
  if (proxy.probabilities.size() != tokens) {
    fail(ErrorCode::SizeMismatch, "the text has ", tokens, " tokens, and there are ",
         proxy.probabilities.size(), " probabilities");
  }
  std::vector<double> probabilities(proxy.probabilities.begin(), proxy.probabilities.end());
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    double& p = probabilities[i];
    // Models compute in floats, whose sums are a little off.
    if (p < 0.0 || p > 1.001) {
      fail(ErrorCode::InvalidProbability, "the probability of token ", i, " is ", p,
           ", and must be in [0, 1] (are these logits? take their softmax)");
    }
    if (p == 0.0) p = std::numeric_limits<double>::quiet_NaN();
    p = std::min(p, 1.0);
  }
  return probabilities;
}

void require_ranges(std::size_t tokens, std::size_t ranges) {
  if (ranges == tokens) return;
  fail(ErrorCode::SizeMismatch, "the text has ", tokens, " tokens, and there are ", ranges,
       " ranges of characters");
}

std::pair<std::size_t, std::size_t> range_of(
    std::span<const std::pair<std::size_t, std::size_t>> characters) {
  auto [begin, end] = characters.front();
  for (const auto& [first, last] : characters) {
    begin = std::min(begin, first);
    end = std::max(end, last);
  }
  return {begin, end};
}

}  // namespace countermark::detect
