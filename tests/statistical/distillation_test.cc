// Suspects that are independent of the key: the p-values are exact, whatever they answer.
#include "countermark/distillation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engines.h"
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

/// What a suspect that is independent of the key shows under many.
struct OverKeys {
  std::vector<double> p = {};
  /// Keys with an e-value of ten or more.
  std::size_t large_e = 0;

  std::size_t at_most(double rate) const {
    return static_cast<std::size_t>(std::ranges::count_if(p, [&](double x) { return x <= rate; }));
  }
};

/// `ring_of(n)`: with a profile "p" of key n.
template <typename RingOf>
OverKeys over_keys(PairWeights weights, RingOf&& ring_of) {
  OverKeys result;
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    DistillationTest test(ring_of(n), "p", {.weights = weights, .decoys = 0});
    for (std::uint64_t k = 0; k < 6; ++k) test.add_answer({}, answer(k));
    for (std::uint64_t k = 100; k < 106; ++k) test.add_reference(answer(k));
    const DistillationResult found = test.result();
    result.p.push_back(std::pow(10.0, found.log10_p));
    result.large_e += found.log10_e >= 1.0;
  }
  return result;
}

/// A bound is not uniform: what it promises holds, and it is not far above.
void check_bound(const OverKeys& found, double false_alarm_rate) {
  CHECK(test::chance_of(found.at_most(0.1), keys_tried, 0.1) > false_alarm_rate);
  CHECK(test::chance_of(found.at_most(0.01), keys_tried, 0.01) > false_alarm_rate);
  CHECK(test::chance_of(found.large_e, keys_tried, 0.1) > false_alarm_rate);
  CHECK(found.at_most(0.1) > keys_tried / 100);
}

void check_uniform(const OverKeys& found, double false_alarm_rate) {
  CHECK(test::uniformity_p(found.p) > false_alarm_rate);
  CHECK(test::chance_of(found.large_e, keys_tried, 0.1) > false_alarm_rate);
}

}  // namespace

TEST_CASE("DistillationTest: over many keys the p-value of any suspect is uniform") {
  for (const PairWeights weights : {PairWeights::Equal, PairWeights::Log, PairWeights::Reference}) {
    for (const std::int64_t units : {65536, 30000}) {
      CAPTURE(static_cast<int>(weights));
      CAPTURE(units);
      ProfileOptions options = test::marked_options(vocab_size);
      options.narrow_units = units;
      check_uniform(over_keys(weights, [&](auto n) { return test::ring_of(options, n); }),
                    test::false_alarm_rate / 15.0);
    }
  }
}

TEST_CASE("DistillationTest: over many keys the bound of the most powerful test holds") {
  const ProfileOptions options = test::marked_options(vocab_size);
  check_bound(
      over_keys(PairWeights::MostPowerful, [&](auto n) { return test::ring_of(options, n); }),
      test::false_alarm_rate / 15.0);
}

TEST_CASE("DistillationTest: over many keys p-values under an engine's mark hold") {
  const test::Engine engines[] = {{"vllm/gumbel-1", 1, R"({"context_width": 2})"},
                                  {"sglang/aaronson-1", 1, R"({"context_window": 1})"},
                                  {"sglang/aaronson-dual-1", 2, R"({"context_window": 2})"}};
  for (const test::Engine& engine : engines) {
    CAPTURE(std::string(engine.mark));
    const auto ring_of = [&](std::uint64_t n) { return test::engine_ring(engine, n); };
    for (const PairWeights weights : {PairWeights::Log, PairWeights::Reference}) {
      CAPTURE(static_cast<int>(weights));
      check_uniform(over_keys(weights, ring_of), test::false_alarm_rate / 21.0);
    }
    check_bound(over_keys(PairWeights::MostPowerful, ring_of), test::false_alarm_rate / 21.0);
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

// A service under each key, its ledger and its logs; and suspects that know nothing of the key, but
// all there is to know of what was served. What is looked at hangs on the key then.
TEST_CASE("DistillationTest: over many keys e-values hold with a ledger and for served readings") {
  ProfileOptions options = test::marked_options(vocab_size);
  options.narrow_units = 50000;
  for (const bool reads : {false, true}) {
    CAPTURE(reads);
    std::size_t over_10 = 0, over_100 = 0;
    double sum = 0.0;
    for (std::uint64_t n = 0; n < keys_tried; ++n) {
      const KeyRing ring = test::ring_of(options, n);
      const Ledger ledger(ring, "p", {.contexts = 2000});
      std::vector<test::Tokens> served;
      {
        const Sampler sampler(ring, "p", {.ledger = ledger});
        for (std::uint64_t k = 0; k < 6; ++k) {
          served.push_back(test::marked_tokens(sampler, 60, vocab_size, {.seed = k}));
        }
      }
      DistillationTest test(ring, "p", {.decoys = 0, .ledger = ledger});
      for (std::uint64_t k = 0; k < 6; ++k) test.add_answer({}, answer(k));
      if (reads) {
        // It expects of each token what came before it, and more so the later in the text.
        for (const test::Tokens& text : served) {
          std::vector<TokenProbability> predictions;
          for (std::size_t i = 0; i < text.size(); ++i) {
            const TokenId last = i == 0 ? 0 : text[i - 1];
            predictions.push_back({last, 0.3});
            predictions.push_back({(last + 1) % 30, 0.01 * static_cast<double>(i)});
          }
          std::vector<std::span<const TokenProbability>> rows;
          for (std::size_t i = 0; i < text.size(); ++i) rows.push_back({&predictions[2 * i], 2});
          test.add_served_reading(text, rows);
        }
      }
      const double e = std::pow(10.0, test.result().log10_e);
      over_10 += e >= 10.0;
      over_100 += e >= 100.0;
      sum += std::min(e, 100.0);
    }
    CHECK(test::chance_of(over_10, keys_tried, 0.1) > test::false_alarm_rate / 6.0);
    CHECK(test::chance_of(over_100, keys_tried, 0.01) > test::false_alarm_rate / 6.0);
    // Bernstein's bound for 1,500 variables in [0, 100] with a mean of 1 at most, hence a variance
    // of 100 at most: 2.5 * 10^-7.
    CHECK(sum / static_cast<double>(keys_tried) < 2.8);
  }
}

namespace {

constexpr TokenId end_token = 0;

/// A model that holds three tokens possible, alike: the end and two others.
std::array<TokenId, 2> others_after(TokenId last) {
  return {1 + last * 7 % 14, 15 + last * 11 % 14};
}
test::Row ending_row(TokenId last) {
  test::Row row(vocab_size, -HUGE_VALF);
  row[end_token] = 0.0F;
  for (const TokenId token : others_after(last)) row[static_cast<std::size_t>(token)] = 0.0F;
  return row;
}

enum class Ending { LogsWithoutIt, NeverObserved, TakenBackAndReplaced, ReadWithoutIt };

}  // namespace

// What a response ended by is often not in the logs, and what a filter disliked is taken back: both
// follow from what the mark drew. A suspect that never ends would seem to know the rest.
TEST_CASE("DistillationTest: over many keys e-values hold however responses end") {
  constexpr std::uint64_t keys = 200;
  ProfileOptions options = test::marked_options(vocab_size);
  options.narrow_units = 65536;
  for (const Ending ending : {Ending::LogsWithoutIt, Ending::NeverObserved,
                              Ending::TakenBackAndReplaced, Ending::ReadWithoutIt}) {
    CAPTURE(static_cast<int>(ending));
    std::size_t over_10 = 0;
    for (std::uint64_t n = 0; n < keys; ++n) {
      const KeyRing ring = test::ring_of(options, n);
      Ledger written(ring, "p", {.contexts = 2000}), told(ring, "p", {.contexts = 2000});
      std::mt19937_64 random(n);
      std::vector<test::Tokens> logs;
      {
        const Sampler sampler(ring, "p", {.ledger = written});
        for (std::uint64_t k = 0; k < 300; ++k) {
          const test::Tokens begin = {static_cast<TokenId>(1 + random() % 28),
                                      static_cast<TokenId>(1 + random() % 28)};
          Sequence sequence = sampler.sequence({.seed = k, .response_so_far = begin});
          while (sequence.size() < 30) {
            const test::Row row = ending_row(sequence.tokens().back());
            TokenId token = 0;
            (void)sequence.select(row, {}, token);
            if (token == end_token) {
              if (ending != Ending::TakenBackAndReplaced) break;
              (void)sequence.observe(token);
              sequence.rollback(1);
              token = others_after(sequence.tokens().back())[random() % 2];
            }
            (void)sequence.observe(token);
          }
          logs.emplace_back(sequence.tokens().begin(), sequence.tokens().end());
          told.add_response(logs.back());
        }
      }
      const bool reads = ending == Ending::ReadWithoutIt;
      DistillationTest test(ring, "p",
                            {.decoys = 0,
                             .ledger = reads                             ? std::optional<Ledger>()
                                       : ending == Ending::LogsWithoutIt ? told
                                                                         : written});
      const auto rows_for = [](const test::Tokens& text, std::vector<TokenProbability>& all) {
        all.reserve(2 * (text.size() + 1));
        std::vector<std::span<const TokenProbability>> rows;
        for (std::size_t i = 0; i <= text.size(); ++i) {
          for (const TokenId token : others_after(i == 0 ? 1 : text[i - 1])) {
            all.push_back({token, 0.5});
          }
          rows.push_back(std::span(all).last(2));
        }
        return rows;
      };
      if (reads) {
        for (const test::Tokens& text : logs) {
          std::vector<TokenProbability> all;
          test.add_served_reading(text, rows_for(text, all));
        }
      } else {
        for (int k = 0; k < 3000; ++k) {
          const auto first = static_cast<TokenId>(1 + random() % 28),
                     second = static_cast<TokenId>(1 + random() % 28);
          test.add_answer({}, test::Tokens{first, second, others_after(second)[random() % 2]});
        }
      }
      over_10 += test.result().log10_e >= 1.0;
    }
    CHECK(test::chance_of(over_10, keys, 0.1) > test::false_alarm_rate / 4.0);
  }
}

// Who stops at the best look is right no less often than promised.
TEST_CASE("DistillationTest: over many keys a sequential test holds whenever one stops") {
  constexpr std::uint64_t runs = 10'000;
  std::size_t alarms = 0, large_e = 0;
  for (std::uint64_t n = 0; n < runs; ++n) {
    DistillationTest test(test::ring_of(test::marked_options(vocab_size), n), "p",
                          {.decoys = 0, .sequential = true});
    for (std::uint64_t k = 0; k < 120; ++k) test.add_answer({}, answer(k));
    const DistillationResult result = test.result();
    REQUIRE(result.looks.size() == 3);
    double largest = -10.0, so_far = 0.0;
    for (const DistillationLook& look : result.looks) {
      so_far += look.share * std::pow(10.0, look.log10_e);
      largest = std::max(largest, so_far);
    }
    alarms += result.log10_p <= -1.0;
    large_e += largest >= 10.0;
  }
  CHECK(test::chance_of(alarms, runs, 0.1) > test::false_alarm_rate / 2.0);
  CHECK(test::chance_of(large_e, runs, 0.1) > test::false_alarm_rate / 2.0);
}

// A suspect that learned all there is of one account's responses: that says nothing of another.
TEST_CASE("DistillationTest: over many keys an account's e-value holds beside a guilty one") {
  std::size_t over_10 = 0, over_100 = 0, guilty = 0;
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    const KeyRing ring = test::ring_of(test::marked_options(vocab_size), n);
    const Sampler sampler(ring, "p");
    DistillationTest test(ring, "p", {.decoys = 0});
    for (std::uint64_t k = 0; k < 4; ++k) {
      const test::Tokens text = test::marked_tokens(sampler, 60, vocab_size, {.seed = k});
      test.add_log(7, text);
      test.add_answer({}, text);
    }
    for (std::uint64_t k = 4; k < 8; ++k) {
      test.add_log(8, test::marked_tokens(sampler, 60, vocab_size, {.seed = k}));
      test.add_answer({}, answer(k));
    }
    for (const LearnedAccount& account : test.learned_accounts().accounts) {
      over_10 += account.account == 8 && account.log10_e >= 1.0;
      over_100 += account.account == 8 && account.log10_e >= 2.0;
      guilty += account.account == 7 && account.log10_e >= 2.0;
    }
  }
  CHECK(test::chance_of(over_10, keys_tried, 0.1) > test::false_alarm_rate / 2.0);
  CHECK(test::chance_of(over_100, keys_tried, 0.01) > test::false_alarm_rate / 2.0);
  CHECK(guilty > keys_tried / 2);
}
