// Innocent accounts: whoever wrote the text, and for whomever it was marked.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "countermark/screening.h"
#include "countermark/tracer.h"
#include "rates.h"
#include "statistical/many_keys.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
/// Registered: 1000, 1001, ...
constexpr std::uint64_t first_account = 1000;

std::vector<std::uint64_t> accounts(std::size_t count) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), first_account);
  return ids;
}

/// A text, and the registered account that it was marked for, if any.
struct Text {
  std::string name;
  test::Tokens tokens;
  std::optional<std::uint64_t> guilty = {};
};

test::Tokens joined(test::Tokens first, const test::Tokens& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::vector<Text> texts(const KeyRing& ring, std::uint64_t n) {
  const Sampler sampler(ring, "p");
  const auto marked = [&](std::optional<std::uint64_t> account) {
    return test::marked_tokens(sampler, 150, vocab_size, {.account = account, .seed = n});
  };
  const KeyRing other = test::ring_of(test::account_options(vocab_size), 1'000'000 + n);
  test::Tokens periodic;
  for (TokenId i = 0; i < 300; ++i) periodic.push_back(i * i % 11);
  return {{"random", test::random_tokens(150, vocab_size, n)},
          {"three ids", test::random_tokens(300, 3, n)},
          {"periodic", periodic},
          {"for a registered account", marked(first_account + 5), first_account + 5},
          {"for an unregistered account", marked(7)},
          {"for no account", marked(std::nullopt)},
          {"under another key", test::marked_tokens(Sampler(other, "p"), 150, vocab_size,
                                                    {.account = first_account, .seed = n})},
          {"for two unregistered accounts", joined(marked(8), marked(9))}};
}

}  // namespace

TEST_CASE("Tracer: innocent accounts' scores are Gamma, and their e-values 1 on average") {
  constexpr std::uint64_t keys = 20;
  constexpr std::size_t registered = 2000;
  const std::vector<std::uint64_t> ids = accounts(registered);
  const std::vector<double> rates = {1e-1, 1e-2, 1e-3, 1e-4};
  std::vector<std::string> names;
  std::vector<std::vector<std::size_t>> counts;
  std::vector<std::size_t> pairs, large_e;
  for (std::uint64_t n = 1; n <= keys; ++n) {
    const KeyRing ring = test::ring_of(test::account_options(vocab_size), n);
    const Tracer tracer(ring, "p", ids);
    std::size_t kind = 0;
    for (const Text& text : texts(ring, n)) {
      if (counts.size() == kind) {
        names.push_back(text.name);
        counts.emplace_back(rates.size());
        pairs.push_back(0);
        large_e.push_back(0);
      }
      const auto scored = static_cast<double>(tracer.scored(text.tokens));
      std::vector<double> bars;
      for (const double rate : rates) {
        bars.push_back(stats::inverse_log10_gamma_tail(scored, std::log10(rate)));
      }
      const std::vector<double> scores = tracer.scores(text.tokens);
      for (std::size_t i = 0; i < scores.size(); ++i) {
        if (ids[i] == text.guilty) continue;
        ++pairs[kind];
        for (std::size_t k = 0; k < rates.size(); ++k) counts[kind][k] += scores[i] >= bars[k];
        large_e[kind] +=
            stats::log10_exponential_e_value(tracer.scored(text.tokens), scores[i]) >= 2.0;
      }
      ++kind;
    }
  }
  const double alarm = test::false_alarm_rate / static_cast<double>(counts.size() * 9);
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    CAPTURE(names[kind]);
    for (std::size_t k = 0; k < rates.size(); ++k) {
      CAPTURE(rates[k]);
      CAPTURE(counts[kind][k]);
      CHECK(test::chance_of(counts[kind][k], pairs[kind], rates[k]) > alarm);
      // Not conservative either: the sum's null is exact.
      CHECK(test::chance_of(pairs[kind] - counts[kind][k], pairs[kind], 1.0 - rates[k]) > alarm);
    }
    // Markov's inequality is what an e-value promises.
    CHECK(test::chance_of(large_e[kind], pairs[kind], 1e-2) > alarm);
  }
}

TEST_CASE("Tracer: no more accusations than promised, whatever the text") {
  constexpr std::uint64_t keys = 60;
  constexpr double rate = 0.1;
  const std::vector<std::uint64_t> ids = accounts(300);
  std::vector<std::string> names;
  std::vector<std::size_t> accusations;
  for (std::uint64_t n = 1; n <= keys; ++n) {
    const KeyRing ring = test::ring_of(test::account_options(vocab_size), n);
    // A gap of 1 is none: the p-value alone keeps the promise.
    const Tracer tracer(ring, "p", ids, {.false_accusation_rate = rate, .least_gap = 1.0});
    std::size_t kind = 0;
    for (const Text& text : texts(ring, n)) {
      if (accusations.size() == kind) {
        names.push_back(text.name);
        accusations.push_back(0);
      }
      const std::vector<double> guessed(text.tokens.size(), 0.2);
      for (const Trace& trace : {tracer.trace(text.tokens), tracer.trace(text.tokens, {guessed})}) {
        bool is_false = false;
        for (const std::uint64_t account : trace.accused) is_false |= account != text.guilty;
        accusations[kind] += is_false;
        if (text.guilty) CHECK(trace.account == text.guilty);
      }
      ++kind;
    }
  }
  for (std::size_t kind = 0; kind < accusations.size(); ++kind) {
    CAPTURE(names[kind]);
    CAPTURE(accusations[kind]);
    // The two traces of one text go together: as if there were half as many, twice as bad.
    CHECK(test::chance_of((accusations[kind] + 1) / 2, keys, rate) > test::false_alarm_rate / 8.0);
  }
}

TEST_CASE("Screening: innocent accounts' e-values are 1 at most on average, over copies too") {
  constexpr std::uint64_t keys = 30;
  const std::vector<std::uint64_t> ids = accounts(1000);
  std::size_t large = 0, discovering = 0;
  for (std::uint64_t n = 1; n <= keys; ++n) {
    const KeyRing ring = test::ring_of(test::account_options(vocab_size), n);
    const Tracer tracer(ring, "p", ids);
    Screening screening(tracer, {.false_discovery_rate = 0.1, .ours_rate = 1.0});
    for (int copy = 0; copy < 3; ++copy) {
      for (const Text& text : texts(ring, n)) {
        if (!text.guilty) screening.add(text.tokens);
      }
    }
    const ScreeningResult result = screening.result();
    for (const AccountEvidence& account : result.accounts) large += account.log10_e >= 1.0;
    discovering += result.discovered > 0;
  }
  CHECK(test::chance_of(large, keys * ids.size(), 0.1) > test::false_alarm_rate);
  CHECK(test::chance_of(discovering, keys, 0.1) > test::false_alarm_rate);
}
