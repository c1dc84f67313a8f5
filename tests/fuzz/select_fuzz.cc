// Arbitrary rows, weights and calls: a refusal changes nothing, a draw is one of the candidates.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "fuzz/check.h"

using namespace countermark;
using fuzz::check;

namespace {

constexpr std::int64_t vocab_size = 40;
constexpr TokenId untouched = -77;

/// A row of any type, longer than the vocabulary or shorter.
struct Row {
  explicit Row(fuzz::Input& input) {
    type = static_cast<Logits::Type>(input.take<std::uint8_t>() % 3);
    const std::size_t size = 32 + input.take<std::uint8_t>() % 16;
    for (std::size_t i = 0; i < size; ++i) {
      bits.push_back(input.take<std::uint16_t>());
      // The upper half of a float32 spans all of its range.
      floats.push_back(std::bit_cast<float>(std::uint32_t{bits.back()} << 16));
    }
  }
  Logits logits() const {
    if (type == Logits::Type::Float32) return std::span<const float>(floats);
    return {bits.data(), bits.size(), type};
  }
  bool excludes(TokenId token) const {
    const std::uint16_t infinity = type == Logits::Type::Float16 ? 0xFC00 : 0xFF80;
    return bits[static_cast<std::size_t>(token)] == infinity;
  }

  Logits::Type type;
  std::vector<std::uint16_t> bits;
  std::vector<float> floats;
};

SamplingOptions take_options(fuzz::Input& input) {
  SamplingOptions options;
  const auto byte = input.take<std::uint8_t>();
  options.temperature = (byte & 15) - 1;
  options.top_k = (byte >> 4) - 1;
  options.top_p = input.take<std::uint8_t>() / 200.0;
  options.min_p = input.take<std::uint8_t>() / 250.0;
  return options;
}

void check_draw(ErrorCode code, TokenId token, ErrorCode code_again, TokenId again) {
  check(code == code_again && token == again, "select is pure");
  check((code == ErrorCode::Ok) == (token != untouched), "a refusal writes nothing");
  check(code != ErrorCode::Ok || (token >= 0 && token < vocab_size), "a draw is in the vocabulary");
}

void select(const Sequence& sequence, fuzz::Input& input) {
  const Row row(input);
  const SamplingOptions options = take_options(input);
  TokenId token = untouched, again = untouched;
  const ErrorCode code = sequence.select(row.logits(), options, token);
  const ErrorCode code_again = sequence.select(row.logits(), options, again);
  check_draw(code, token, code_again, again);
  check(code != ErrorCode::Ok || !row.excludes(token), "-inf is never drawn");
}

void select_candidates(const Sequence& sequence, fuzz::Input& input) {
  std::vector<TokenId> ids;
  std::vector<double> weights;
  const std::size_t size = input.take<std::uint8_t>() % 12;
  for (std::size_t i = 0; i < size; ++i) {
    ids.push_back(static_cast<TokenId>(input.take<std::uint8_t>()) - 2);
    // The upper 16 bits of a double span all of its range.
    weights.push_back(std::bit_cast<double>(std::uint64_t{input.take<std::uint16_t>()} << 48));
  }
  if ((input.take<std::uint8_t>() & 31) == 31) weights.push_back(1.0);
  TokenId token = untouched, again = untouched;
  const ErrorCode code = sequence.select_candidates(ids, weights, token);
  const ErrorCode code_again = sequence.select_candidates(ids, weights, again);
  check_draw(code, token, code_again, again);
  if (code != ErrorCode::Ok) return;
  const auto where = std::ranges::find_if(ids, [&](const TokenId& id) {
    return id == token && weights[static_cast<std::size_t>(&id - ids.data())] > 0.0;
  });
  check(where != ids.end(), "a draw is a candidate of positive weight");
}

void check_stats(const Sequence& sequence) {
  const SequenceStats stats = sequence.stats();
  check(stats.tokens == sequence.size(), "every token is counted");
  check(stats.marked + stats.free + stats.greedy + stats.forced == stats.tokens,
        "the counts add up");
  check(std::isfinite(stats.entropy_bits) && stats.entropy_bits >= 0.0, "entropy is finite");
  check(std::isfinite(stats.expected_log10_p) && stats.expected_log10_p <= 0.0,
        "the expected p-value is at most 1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const KeyRing ring = fuzz::take_ring(input, vocab_size);
  Sequence sequence = Sampler(ring, "p").sequence({.seed = 1});
  while (input.size() > 0) {
    const std::vector<TokenId> before(sequence.tokens().begin(), sequence.tokens().end());
    const auto step = input.take<std::uint8_t>();
    bool moved = false;
    switch (step % 6) {
      case 0:
        select(sequence, input);
        break;
      case 1:
        select_candidates(sequence, input);
        break;
      case 2: {
        const auto token = static_cast<TokenId>(input.take<std::uint8_t>()) - 8;
        moved = sequence.observe(token) == ErrorCode::Ok;
        check(moved == (token >= 0 && token < vocab_size), "the vocabulary is observed, no more");
        break;
      }
      case 3: {
        const Row row(input);
        TokenId token = untouched;
        moved = sequence.sample(row.logits(), take_options(input), token) == ErrorCode::Ok;
        check(moved == (token != untouched), "a refusal writes nothing");
        check(!moved || token == sequence.tokens().back(), "sample observes what it selects");
        break;
      }
      case 4: {
        const std::size_t count = step / 6;
        sequence.rollback(count);
        check(sequence.size() == before.size() - std::min(count, before.size()),
              "rollback forgets what it was asked to");
        continue;
      }
      default:
        check((sequence.placement().layer == Layer::Free) == (sequence.placement().k1 == 0),
              "free positions have no keys");
    }
    check(sequence.size() == before.size() + moved, "only what is observed moves a sequence");
    check(std::equal(before.begin(), before.end(), sequence.tokens().begin()),
          "what was observed stays");
  }
  check_stats(sequence);
  return 0;
}
