// Texts that are independent of the key: the p-values are exact, whatever the text.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "detect/examination.h"
#include "detect/rests.h"
#include "detect/sum.h"
#include "rates.h"
#include "statistical/many_keys.h"

using namespace countermark;

namespace {

constexpr std::uint64_t keys_tried = 4000;

struct Text {
  const char* name;
  test::Tokens tokens;
};

std::vector<Text> texts() {
  test::Tokens periodic;
  for (TokenId i = 0; i < 400; ++i) periodic.push_back(i % 5);
  return {{"random", test::random_tokens(150, 1000, 1)},
          {"three ids", test::random_tokens(300, 3, 2)},
          {"periodic", periodic},
          {"one id for ever", test::Tokens(500, 7)},
          {"three tokens", {1, 2, 3}}};
}

ProfileOptions options_of(std::int64_t free_prefix, bool accounts) {
  ProfileOptions options = test::marked_options();
  options.free_prefix = free_prefix;
  options.accounts = accounts;
  // Every text has a narrow context, so that something is scored under every key.
  options.narrow_units = accounts ? 32768 : 65536;
  return options;
}

double p_of(const detect::SumEvidence& evidence) { return std::pow(10.0, evidence.log10_p); }

detect::SumEvidence test_ours(const marks::Countermark1& mark, const test::Tokens& text,
                              Start start) {
  const auto prefix = static_cast<std::size_t>(mark.parameters().free_prefix);
  return detect::sum_scores(detect::rests_of(mark, text, detect::ours(mark)), prefix, start);
}

detect::SumEvidence test_account(const marks::Countermark1& mark, std::span<const TokenId> text,
                                 std::optional<std::uint64_t> account) {
  const auto rests = detect::rests_of(mark, text, detect::of_account(mark, account));
  return detect::sum_scores(rests, 0, Start::Unknown);
}

}  // namespace

TEST_CASE("Detection: over many keys the p-value of any text is uniform, repetitive ones too") {
  const test::ManyKeys keys(options_of(0, false));
  const std::vector<Text> all = texts();
  for (const Text& text : all) {
    CAPTURE(text.name);
    std::vector<double> p;
    for (std::uint64_t n = 0; n < keys_tried; ++n) {
      p.push_back(p_of(test_ours(keys.mark(n), text.tokens, Start::Unknown)));
    }
    CHECK(test::uniformity_p(p) > test::false_alarm_rate / static_cast<double>(all.size()));
  }
}

TEST_CASE("Detection: over many keys the p-value of both starts is uniform too") {
  const test::ManyKeys keys(options_of(24, false));
  const test::Tokens text = test::random_tokens(150, 1000, 1);
  std::vector<double> p;
  double e_sum = 0.0;
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    const detect::SumEvidence evidence = test_ours(keys.mark(n), text, Start::Both);
    p.push_back(p_of(evidence));
    e_sum += std::min(20.0, std::pow(10.0, evidence.log10_e));
  }
  CHECK(test::uniformity_p(p) > test::false_alarm_rate);
  // Cut off at 20, an e-value has a mean of at most 1 and a variance of at most 20: by Bernstein's
  // inequality their mean over 4000 keys exceeds 1.4 with a probability of less than 8e-7.
  CHECK(e_sum / static_cast<double>(keys_tried) < 1.4);
}

TEST_CASE("Detection: an innocent account's p-value is uniform on a text marked for another") {
  const test::ManyKeys keys(options_of(0, true));
  const test::Tokens ids = test::first_ids(20);
  const std::vector<double> weights(20, 1.0);
  std::vector<double> innocent, nobody, guilty;
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    Sequence sequence = keys.sequence(n, 7);
    for (int i = 0; i < 60; ++i) {
      TokenId token = -1;
      REQUIRE(sequence.select_candidates(ids, weights, token) == ErrorCode::Ok);
      REQUIRE(sequence.observe(token) == ErrorCode::Ok);
    }
    const marks::Countermark1 mark = keys.mark(n);
    const auto p = [&](std::optional<std::uint64_t> account) {
      return p_of(test_account(mark, sequence.tokens(), account));
    };
    innocent.push_back(p(8));
    nobody.push_back(p({}));
    guilty.push_back(p(7));
  }
  CHECK(test::uniformity_p(innocent) > test::false_alarm_rate / 2.0);
  CHECK(test::uniformity_p(nobody) > test::false_alarm_rate / 2.0);
  CHECK(test::uniformity_p(guilty) < 1e-100);
}

TEST_CASE("Detection: narrow layer, wide layer and an account's tell nothing of each other") {
  const test::ManyKeys keys(options_of(0, true));
  const test::Tokens text = test::random_tokens(150, 100, 1);
  constexpr std::size_t parts = 4;
  std::vector<std::size_t> counts(parts * parts * parts);
  const auto part = [](const detect::SumEvidence& evidence) {
    return std::min(parts - 1, static_cast<std::size_t>(p_of(evidence) * parts));
  };
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    const marks::Countermark1 mark = keys.mark(n);
    const std::size_t narrow = part(test_ours(mark, text, Start::Unknown));
    const std::size_t wide = part(test_account(mark, text, {}));
    const std::size_t account = part(test_account(mark, text, 7));
    ++counts[(narrow * parts + wide) * parts + account];
  }
  CHECK(test::chi_square_p(counts, std::vector<double>(counts.size(), 1.0 / 64.0)) >
        test::false_alarm_rate);
}

namespace {

/// How likely a model that knows nothing of the keys might find each token: some certain, some
/// rare.
std::vector<double> probabilities_of(const test::Tokens& text) {
  constexpr double some[] = {1e-6, 0.1, 0.5, 0.9, 1.0 - 1e-4};
  std::mt19937_64 random(text.size());
  std::vector<double> probabilities;
  for (std::size_t i = 0; i < text.size(); ++i) {
    probabilities.push_back(some[random() % std::size(some)]);
  }
  return probabilities;
}

/// That p-values of texts without a mark are valid: each rate is reached no more often than it
/// says.
void check_valid(std::span<const double> log10_p, double false_alarm_share) {
  for (const double rate : {0.3, 0.1, 0.03, 0.01}) {
    CAPTURE(rate);
    const double bar = std::log10(rate);
    const auto count = static_cast<std::size_t>(
        std::ranges::count_if(log10_p, [&](double x) { return x <= bar; }));
    CHECK(test::chance_of(count, log10_p.size(), rate) >
          test::false_alarm_rate * false_alarm_share / 4.0);
  }
}

}  // namespace

TEST_CASE("Detection: over many keys the p-value that pays for every test is valid") {
  const test::ManyKeys keys(options_of(24, false));
  const std::vector<Text> all = texts();
  for (const Text& text : all) {
    CAPTURE(text.name);
    std::vector<double> log10_p;
    std::size_t with_parts = 0;
    for (std::uint64_t n = 0; n < keys_tried; ++n) {
      const detect::Examination examination =
          detect::examine(keys.keyed(n), {.tokens = text.tokens, .log10_bar = -1.0});
      log10_p.push_back(examination.log10_p);
      with_parts += !examination.regions.empty();
    }
    check_valid(log10_p, 1.0 / static_cast<double>(all.size()));
    // A part pays for being one of several tests.
    CHECK(test::chance_of(with_parts, keys_tried, 0.1 * 0.05) > test::false_alarm_rate);
    // And nobody pays much more than that: not where there is a lot to see.
    if (text.tokens.size() < 100) continue;
    const auto count = std::ranges::count_if(log10_p, [](double x) { return x <= -1.0; });
    CHECK(static_cast<double>(count) > 0.05 * static_cast<double>(keys_tried));
  }
}

TEST_CASE("Detection: over many keys the p-value with a model's probabilities is valid") {
  const test::ManyKeys keys(options_of(24, false));
  const std::vector<Text> all = texts();
  for (const Text& text : std::span(all).first(3)) {
    CAPTURE(text.name);
    const std::vector<double> probabilities = probabilities_of(text.tokens);
    constexpr std::size_t tried = 250;
    std::vector<double> log10_p;
    double e_sum = 0.0;
    for (std::uint64_t n = 0; n < tried; ++n) {
      const detect::Examination examination =
          detect::examine(keys.keyed(n), {.tokens = text.tokens, .probabilities = probabilities});
      log10_p.push_back(examination.log10_p);
      e_sum += std::min(10.0, std::pow(10.0, examination.log10_e));
    }
    check_valid(log10_p, 1.0 / 3.0);
    // By Bernstein's inequality, as above: the mean of 250 e-values cut off at 10 exceeds 2.4 with
    // a probability of less than 6e-8.
    CHECK(e_sum / static_cast<double>(tried) < 2.4);
  }
}

TEST_CASE("Detection: over many keys an innocent text's key has any rank among its decoys") {
  constexpr std::size_t decoys = 9, tried = 1000;
  const test::Tokens text = test::random_tokens(80, 1000, 1);
  std::vector<std::size_t> ranks(decoys + 1);
  std::vector<double> log10_rank_p;
  for (std::uint64_t n = 0; n < tried; ++n) {
    const Detector detector(test::ring_of(options_of(24, false), n));
    ++ranks[detector.rank(text, "p", decoys, Start::Unknown).rank - 1];
    log10_rank_p.push_back(detector.rank(text, "p", decoys).log10_rank_p);
  }
  CHECK(test::chi_square_p(ranks, std::vector<double>(decoys + 1, 1.0 / (decoys + 1.0))) >
        test::false_alarm_rate);
  check_valid(log10_rank_p, 1.0);
}

TEST_CASE("Replay: over many keys its p-value is valid, whatever the text and the model") {
  constexpr std::size_t vocab_size = 20, tried = 1000, length = 60;
  test::Tokens periodic;
  for (std::size_t i = 0; i < length; ++i) periodic.push_back(static_cast<TokenId>(i % 5));
  test::Tokens likely;
  for (std::size_t i = 0; i < length; ++i) {
    const test::Row row = test::random_row(vocab_size, i);
    likely.push_back(static_cast<TokenId>(std::ranges::max_element(row) - row.begin()));
  }
  const std::vector<Text> all = {{"random", test::random_tokens(length, vocab_size, 1)},
                                 {"three ids", test::random_tokens(length, 3, 2)},
                                 {"periodic", periodic},
                                 {"likely", likely}};
  std::vector<test::Row> rows;
  for (std::size_t i = 0; i < length; ++i) rows.push_back(test::random_row(vocab_size, i));
  const std::vector<std::string> ids = {"p"};
  for (const Text& text : all) {
    CAPTURE(text.name);
    std::vector<double> log10_p;
    for (std::uint64_t n = 0; n < tried; ++n) {
      Replay replay(test::ring_of(options_of(0, false), n), ids,
                    {.sampling = {.temperature = 0.25}});
      for (std::size_t i = 0; i < length; ++i) (void)replay.observe(rows[i], text.tokens[i]);
      log10_p.push_back(replay.detection().log10_p);
    }
    check_valid(log10_p, 1.0 / static_cast<double>(all.size()));
    // Where the draws can be hit they are.
    if (&text == &all.back()) CHECK(std::ranges::count(log10_p, 0.0) < 500);
  }
}
