// Suspects that are independent of the key: the p-values are exact, whatever they answer.
#include "countermark/distillation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "rates.h"
#include "statistical/many_keys.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 30;
constexpr std::uint64_t keys_tried = 1500;

/// Answers that repeat themselves, and each other.
test::Tokens answer(std::uint64_t n) {
  std::mt19937_64 random(n);
  test::Tokens tokens(80);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<TokenId>(random() % 3 == 0 ? random() % vocab_size : i * i % 7);
  }
  return tokens;
}

}  // namespace

TEST_CASE("DistillationTest: over many keys the p-value of any suspect is uniform") {
  for (const PairWeights weights : {PairWeights::Equal, PairWeights::Log, PairWeights::Reference}) {
    for (const std::int64_t units : {65536, 30000}) {
      CAPTURE(static_cast<int>(weights));
      CAPTURE(units);
      ProfileOptions options = test::marked_options(vocab_size);
      options.narrow_units = units;
      std::vector<double> p;
      std::size_t large_e = 0;
      for (std::uint64_t n = 0; n < keys_tried; ++n) {
        DistillationTest test(test::ring_of(options, n), "p", {.weights = weights, .decoys = 0});
        for (std::uint64_t k = 0; k < 6; ++k) test.add_answer({}, answer(k));
        for (std::uint64_t k = 100; k < 106; ++k) test.add_reference(answer(k));
        const DistillationResult result = test.result();
        p.push_back(std::pow(10.0, result.log10_p));
        large_e += result.log10_e >= 1.0;
      }
      CHECK(test::uniformity_p(p) > test::false_alarm_rate / 12.0);
      CHECK(test::chance_of(large_e, keys_tried, 0.1) > test::false_alarm_rate / 12.0);
    }
  }
}

TEST_CASE("DistillationTest: decoys' p-values are uniform for a suspect that knows the key") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  DistillationTest test(ring, "p", {.decoys = 1500});
  for (std::uint64_t n = 0; n < 10; ++n) {
    test.add_answer({}, test::marked_tokens(Sampler(ring, "p"), 100, vocab_size, {.seed = n}));
  }
  const DistillationResult result = test.result();
  std::vector<double> p;
  for (const double decoy : result.decoys) p.push_back(std::pow(10.0, decoy));
  CHECK(result.log10_p < -6.0);
  CHECK(test::uniformity_p(p) > test::false_alarm_rate);
}
