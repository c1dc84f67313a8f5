// The p-values of other engines' marks over many keys, on texts that are independent of all of
// them.
#include "engines.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "rates.h"
#include "statistical/many_keys.h"

using namespace countermark;

namespace {

std::uint64_t keys_for(const test::Engine& engine) { return engine.is_slow ? 150 : 600; }

std::vector<test::Tokens> texts() {
  test::Tokens periodic;
  for (TokenId i = 0; i < 300; ++i) periodic.push_back(i % 7);
  return {test::random_tokens(120, 1000, 1), test::random_tokens(200, 6, 2), periodic};
}

}  // namespace

TEST_CASE("Engine marks: over many keys the p-value of any text is valid, and so is the e-value") {
  const std::vector<test::Tokens> all = texts();
  const double cases = static_cast<double>(all.size() * test::engines().size());
  for (const test::Engine& engine : test::engines()) {
    const std::uint64_t keys_tried = keys_for(engine);
    for (std::size_t t = 0; t < all.size(); ++t) {
      CAPTURE(std::string(engine.mark));
      CAPTURE(std::string(engine.parameters));
      CAPTURE(t);
      std::size_t at_tenth = 0, at_hundredth = 0, all_at_tenth = 0;
      double e_sum = 0.0;
      for (std::uint64_t n = 0; n < keys_tried; ++n) {
        const Detector detector(test::engine_ring(engine, n));
        const Detection sum = detector.detect(all[t], Start::Unknown);
        at_tenth += sum.log10_p <= -1.0;
        at_hundredth += sum.log10_p <= -2.0;
        all_at_tenth += detector.detect(all[t]).log10_p <= -1.0;
        e_sum += std::min(20.0, std::pow(10.0, sum.log10_e));
      }
      // Three tests a case, and the mean below.
      const double bar = test::false_alarm_rate / (4.0 * cases);
      CHECK(test::chance_of(at_tenth, keys_tried, 0.1) > bar);
      CHECK(test::chance_of(at_hundredth, keys_tried, 0.01) > bar);
      CHECK(test::chance_of(all_at_tenth, keys_tried, 0.1) > bar);
      // By Bernstein's inequality, with a mean of at most 1 and values of at most 20, the mean
      // exceeds 1 + excess with a probability below the bar.
      const auto n = static_cast<double>(keys_tried);
      const double log_bar = -std::log(bar), b = 20.0 * log_bar / (3.0 * n);
      const double excess = b + std::sqrt(b * b + 2.0 * 20.0 * log_bar / n);
      CHECK(e_sum / n < 1.0 + excess);
    }
  }
}

TEST_CASE("identify: over many keys no contract fits many short texts more often than it may") {
  // Short texts share contexts, states and lists, each of which is evidence once.
  std::vector<test::Tokens> many;
  std::vector<EngineText> views;
  std::mt19937_64 random(3);
  for (std::size_t i = 0; i < 100; ++i) {
    test::Tokens tokens(60);
    for (TokenId& token : tokens) {
      const double u = static_cast<double>(random() >> 11) * 0x1p-53;
      token = static_cast<TokenId>(std::exp(u * std::log(1000.0))) - 1;  // few ids are frequent
    }
    many.push_back(tokens);
  }
  for (const test::Tokens& tokens : many) views.push_back({tokens});
  constexpr std::uint64_t keys_tried = 40;
  std::size_t found = 0;
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    const std::vector<std::uint64_t> key = test::engine_key({"", 2}, n);
    const auto fits = identify(views, key, {.vocab_size = 1000, .false_positive_rate = 0.1});
    found += fits.front().fits;
  }
  CHECK(test::chance_of(found, keys_tried, 0.1) > test::false_alarm_rate);
}
