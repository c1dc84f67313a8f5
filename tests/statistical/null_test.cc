// Texts that are independent of the key: the p-values are exact, whatever the text.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "detect/hypothesis.h"
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

double p_of(const detect::Evidence& evidence) { return std::pow(10.0, evidence.log10_p); }

}  // namespace

TEST_CASE("Detection: over many keys the p-value of any text is uniform, repetitive ones too") {
  const test::ManyKeys keys(options_of(0, false));
  const std::vector<Text> all = texts();
  for (const Text& text : all) {
    CAPTURE(text.name);
    std::vector<double> p;
    for (std::uint64_t n = 0; n < keys_tried; ++n) {
      p.push_back(p_of(detect::test_ours(keys.mark(n), false, text.tokens, Start::Unknown)));
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
    const detect::Evidence evidence = detect::test_ours(keys.mark(n), false, text, Start::Both);
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
      return p_of(detect::test_account(mark, sequence.tokens(), account, Start::Unknown));
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
  const auto part = [](const detect::Evidence& evidence) {
    return std::min(parts - 1, static_cast<std::size_t>(p_of(evidence) * parts));
  };
  for (std::uint64_t n = 0; n < keys_tried; ++n) {
    const marks::Countermark1 mark = keys.mark(n);
    const std::size_t narrow = part(detect::test_ours(mark, true, text, Start::Unknown));
    const std::size_t wide = part(detect::test_account(mark, text, {}, Start::Unknown));
    const std::size_t account = part(detect::test_account(mark, text, 7, Start::Unknown));
    ++counts[(narrow * parts + wide) * parts + account];
  }
  CHECK(test::chi_square_p(counts, std::vector<double>(counts.size(), 1.0 / 64.0)) >
        test::false_alarm_rate);
}
