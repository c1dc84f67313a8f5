// Detection over arbitrary tokens: probabilities are probabilities, and token scores add up.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "fuzz/check.h"

using namespace countermark;
using fuzz::check;

namespace {

void check_detection(const Detection& detection, std::size_t tokens) {
  check(detection.log10_p <= 0.0, "a p-value is at most 1");
  check(std::isfinite(detection.log10_p), "a p-value never underflows");
  check(std::isfinite(detection.log10_e), "an e-value never overflows");
  check(detection.scored <= tokens, "a token is scored once");
  check(detection.token_scores.size() == tokens, "there is a score for each token");
  check((detection.verdict == Verdict::Marked) == (detection.log10_p <= detection.log10_threshold),
        "marked is what reaches the threshold");
  std::size_t scored = 0;
  double sum = 0.0;
  for (const double score : detection.token_scores) {
    if (std::isnan(score)) continue;
    check(score > 0.0 && score < 37.0, "a score is -ln(1 - U)");
    ++scored;
    sum += score;
  }
  const ProfileResult& best = detection.results.at(detection.best);
  check(scored == detection.scored && scored == best.scored, "scored counts the scores");
  check(std::abs(sum - best.score) <= 1e-9 * (1.0 + sum), "the score sums the scores");
  check(best.log10_p <= best.log10_p_adjusted, "a correction makes no p-value smaller");
  std::size_t end = 0;
  for (const Region& region : detection.regions) {
    check(end <= region.begin && region.begin < region.end && region.end <= tokens,
          "regions lie in the text and do not overlap");
    check(region.log10_p <= detection.log10_threshold, "a region reaches the threshold");
    end = region.end;
  }
  check(!to_json(detection).empty(), "a detection can be written");
}

void check_trace(const Trace& trace, std::size_t tokens) {
  check(trace.log10_p <= 0.0 && std::isfinite(trace.log10_p), "a p-value is at most 1");
  check(std::isfinite(trace.log10_e), "an e-value never overflows");
  check(std::isfinite(trace.log10_gap), "a gap is a number");
  check(trace.log10_p_combined <= 0.0 && std::isfinite(trace.log10_p_combined),
        "a p-value is at most 1");
  check(trace.scored <= tokens && trace.token_scores.size() == tokens, "a token is scored once");
  check((trace.verdict == TraceVerdict::Account) == trace.account.has_value() &&
            trace.account.has_value() == !trace.accused.empty(),
        "a verdict is about the accused");
  check(trace.verdict != TraceVerdict::Account || trace.log10_p <= trace.log10_threshold,
        "who is accused reaches the threshold");
  check(std::ranges::count_if(trace.candidates,
                              [](const AccountCandidate& c) { return !c.account; }) == 1,
        "no account is a candidate, once");
  for (const TracedRegion& region : trace.regions) {
    check(region.begin < region.end && region.end <= tokens, "regions lie in the text");
  }
  check(!to_json(trace).empty(), "a trace can be written");
}

/// Whatever a model might say of a token.
double probability_from(std::uint32_t bits) {
  if (bits % 8 == 0) return std::numeric_limits<double>::quiet_NaN();
  if (bits % 8 == 1) return 0.0;
  return std::ldexp(static_cast<double>(bits) * 0x1p-32, -static_cast<int>(bits % 64));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto vocab_size = static_cast<std::int64_t>(input.take<std::uint16_t>());
  const KeyRing ring = fuzz::take_ring(input, vocab_size < 2 ? 0 : vocab_size);
  const Detector detector(ring);
  // Small ids repeat and are in range; wide ones are whatever the bytes say.
  const bool small = (input.take<std::uint8_t>() & 1) != 0;
  std::vector<TokenId> tokens;
  while (input.size() > 0) {
    tokens.push_back(small ? TokenId{input.take<std::uint8_t>()}
                           : static_cast<TokenId>(input.take<std::uint32_t>()));
  }
  const bool valid = !tokens.empty() && std::ranges::all_of(tokens, [&](TokenId token) {
    return token >= 0 && (vocab_size < 2 || token < vocab_size);
  });
  for (const Start start : {Start::Unknown, Start::Response, Start::Both}) {
    try {
      check_detection(detector.detect(tokens, start), tokens.size());
      check(valid, "a text that is not of the profile is refused");
      std::vector<double> probabilities;
      std::uint32_t bits = 1;
      for (const TokenId token : tokens) {
        bits = 0x9E3779B1U * (bits ^ static_cast<std::uint32_t>(token));
        probabilities.push_back(probability_from(bits));
      }
      check_detection(detector.detect(tokens, {.probabilities = probabilities}, start),
                      tokens.size());
      if (!ring.profile("p").has_accounts()) continue;
      const AccountScore account = detector.score_account(tokens, "p", vocab_size, start);
      check(account.log10_p <= 0.0 && std::isfinite(account.log10_p), "a p-value is at most 1");
      check(account.scored <= tokens.size(), "a token is scored once");
      const std::vector<std::uint64_t> accounts = {0, 1, 2,
                                                   static_cast<std::uint64_t>(vocab_size) + 3};
      const Tracer tracer(ring, "p", accounts, {.false_accusation_rate = 0.5, .threads = 1});
      check_trace(tracer.trace(tokens, start), tokens.size());
      check_trace(tracer.trace(tokens, {.probabilities = probabilities}, start), tokens.size());
      Screening screening(tracer, {.false_discovery_rate = 0.5, .ours_rate = 1.0});
      check(screening.add(tokens, start).scored <= tokens.size(), "a token is scored once");
      for (const AccountEvidence& evidence : screening.result().accounts) {
        check(std::isfinite(evidence.log10_e), "an e-value never overflows");
      }
    } catch (const Error& error) {
      check(!valid, "a text of the profile is not refused");
      check(error.code() == ErrorCode::EmptyText || error.code() == ErrorCode::TokenOutOfRange,
            "a text is refused for its tokens");
    }
  }
  return 0;
}
