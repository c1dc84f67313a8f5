#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "keys/derivation.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"
#include "stats/nested_tail.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;

ProfileOptions prefixed_options() {
  ProfileOptions options = test::marked_options(vocab_size);
  options.free_prefix = 24;
  return options;
}

/// "a", "b" and "c" under three secrets.
KeyRing ring_of_three() {
  KeyRing ring = KeyRing::generate();
  for (std::uint64_t n = 0; n < 3; ++n) {
    ring.import_secret(std::string(1, static_cast<char>('a' + n)), test::secret_bytes(n),
                       test::marked_options(vocab_size));
  }
  return ring;
}

double tail(std::size_t scored, double score) {
  return stats::log10_gamma_tail(static_cast<double>(scored), score);
}

/// The scores that are there, and their number.
struct Scores {
  std::size_t count = 0;
  double sum = 0.0;
};

Scores scores_of(const std::vector<double>& token_scores) {
  Scores scores;
  for (const double score : token_scores) {
    if (std::isnan(score)) continue;
    ++scores.count;
    scores.sum += score;
  }
  return scores;
}

/// The test of a result that has this statistic; the shares and the p-value are as the header has
/// it.
const Test& test_of(const ProfileResult& result, Statistic statistic) {
  double shares = 0.0, log10_p = 0.0;
  const Test* found = nullptr;
  for (const Test& test : result.tests) {
    shares += test.share;
    if (!std::isnan(test.log10_p)) {
      log10_p = std::min(log10_p, test.log10_p - std::log10(test.share));
    }
    if (test.statistic == statistic) found = &test;
  }
  CHECK(shares == doctest::Approx(1.0).epsilon(1e-14));
  CHECK(result.log10_p == std::min(0.0, log10_p + result.log10_inflation));
  REQUIRE(found != nullptr);
  return *found;
}

std::vector<Statistic> statistics_of(const ProfileResult& result) {
  std::vector<Statistic> statistics;
  for (const Test& test : result.tests) statistics.push_back(test.statistic);
  return statistics;
}

/// How likely each token was to the model of test::marked_tokens, at this temperature.
std::vector<double> probabilities_of(const test::Tokens& tokens, double temperature = 1.0) {
  std::vector<double> probabilities;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const test::Row row = test::random_row(vocab_size, i);
    double total = 0.0;
    for (const float logit : row) total += std::exp(static_cast<double>(logit) / temperature);
    const auto logit = static_cast<double>(row[static_cast<std::size_t>(tokens[i])]);
    probabilities.push_back(std::exp(logit / temperature) / total);
  }
  return probabilities;
}

/// As test::marked_tokens, at another temperature.
test::Tokens marked_at(const Sampler& sampler, std::size_t n, double temperature) {
  Sequence sequence = sampler.sequence({.seed = 1});
  for (std::size_t i = 0; i < n; ++i) {
    TokenId token = 0;
    REQUIRE(sequence.sample(test::random_row(vocab_size, i), {.temperature = temperature}, token) ==
            ErrorCode::Ok);
  }
  return {sequence.tokens().begin(), sequence.tokens().end()};
}

void append(test::Tokens& text, const test::Tokens& more) {
  text.insert(text.end(), more.begin(), more.end());
}

void check_equal(const Detection& a, const Detection& b) {
  CHECK(to_json(a) == to_json(b));
  CHECK(a.best == b.best);
}

}  // namespace

TEST_CASE("Detector: finds its own mark, and nothing in other texts") {
  const KeyRing ring = test::ring_of(prefixed_options());
  const Detector detector(ring);
  const test::Tokens marked = test::marked_tokens(Sampler(ring, "p"), 300, vocab_size);
  const Detection found = detector.detect(marked);
  CHECK(found.verdict == Verdict::Marked);
  CHECK(found.profile == "p");
  CHECK(found.log10_p < -20.0);
  CHECK(found.log10_e > 15.0);
  CHECK(found.results.at(0).is_marked);

  const Detection other = detector.detect(test::random_tokens(300, vocab_size, 1));
  CHECK(other.verdict == Verdict::NotMarkedByTheseKeys);
  CHECK(other.profile.empty());
  CHECK(other.log10_p > -6.0);
  CHECK_FALSE(other.results.at(0).is_marked);
}

TEST_CASE("Detector: too few scored tokens are insufficient, and the rate asked for decides") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  struct {
    std::size_t tokens;
    double rate;
    Verdict verdict;
  } const cases[] = {
      {1, 1e-6, Verdict::Insufficient},           {40, 1e-6, Verdict::Insufficient},
      {400, 1e-6, Verdict::NotMarkedByTheseKeys}, {400, 1e-60, Verdict::Insufficient},
      {40, 0.1, Verdict::NotMarkedByTheseKeys},   {1, 0.1, Verdict::Insufficient}};
  for (const auto& c : cases) {
    CAPTURE(c.tokens);
    CAPTURE(c.rate);
    const Detector detector(ring, {.false_positive_rate = c.rate});
    const Detection detection = detector.detect(test::random_tokens(c.tokens, vocab_size, 3));
    CHECK(detection.verdict == c.verdict);
    CHECK(detection.log10_threshold == std::log10(c.rate));
  }
  // One text of one token scores nothing, and says so.
  const Detection nothing = Detector(ring).detect(test::Tokens{7});
  CHECK(nothing.scored == 0);
  CHECK(nothing.log10_p == 0.0);
  CHECK(nothing.log10_e == doctest::Approx(0.0));
  CHECK(std::isnan(nothing.token_scores.at(0)));
}

TEST_CASE("Detector: marked means that the p-value reaches the threshold") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 40, vocab_size);
  const double log10_p = Detector(ring).detect(text).log10_p;
  REQUIRE(log10_p < -1.0);
  const auto verdict_at = [&](double log10_rate) {
    const Detector detector(ring, {.false_positive_rate = std::pow(10.0, log10_rate)});
    return detector.detect(text).verdict;
  };
  CHECK(verdict_at(log10_p + 1e-6) == Verdict::Marked);
  CHECK(verdict_at(log10_p - 1e-6) != Verdict::Marked);
}

TEST_CASE("Detector: a rate out of range, an empty ring, and ids wrong or twice are refused") {
  const KeyRing ring = ring_of_three();
  for (const double rate : {0.0, -0.1, 0.51, 1.0, std::numeric_limits<double>::quiet_NaN(),
                            std::numeric_limits<double>::infinity()}) {
    const auto thrown = test::thrown_by([&] { Detector(ring, {.false_positive_rate = rate}); });
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("false_positive_rate"));
    CHECK(thrown.names("(0, 0.5]"));
  }
  CHECK(test::thrown_by([&] { Detector(ring, {.false_positive_rate = 0.5}); }).message == "");
  CHECK(test::thrown_by([] { Detector(KeyRing::generate()); }).code == ErrorCode::UnknownProfile);
  const std::vector<std::string> none, wrong = {"a", "z"}, twice = {"a", "b", "a"};
  CHECK(test::thrown_by([&] { Detector(ring, none); }).code == ErrorCode::UnknownProfile);
  CHECK(test::thrown_by([&] { Detector(ring, wrong); }).names("\"z\""));
  CHECK(test::thrown_by([&] { Detector(ring, twice); }).code == ErrorCode::InvalidOption);
}

TEST_CASE("Detector: an empty text is refused, and an id out of range is told with its place") {
  const Detector detector(test::ring_of(test::marked_options(vocab_size)));
  CHECK(test::thrown_by([&] { detector.detect({}); }).code == ErrorCode::EmptyText);
  for (const TokenId bad : {-1, 50, std::numeric_limits<TokenId>::max()}) {
    test::Tokens text = test::random_tokens(40, vocab_size, 1);
    text[33] = bad;
    text[35] = -9;
    const auto thrown = test::thrown_by([&] { detector.detect(text); });
    CHECK(thrown.code == ErrorCode::TokenOutOfRange);
    CHECK(thrown.names("token 33 "));
    CHECK(thrown.names(std::to_string(bad)));
    CHECK(thrown.names("0..49"));
    CHECK(thrown.names("\"p\""));
  }
  const Detector any(test::ring_of(test::marked_options()));
  CHECK(any.detect(test::Tokens{0, std::numeric_limits<TokenId>::max(), 5}).scored == 1);
  CHECK(test::thrown_by([&] { any.detect(test::Tokens{0, -1}); }).names("token 1 "));
}

TEST_CASE("Detector: a repeated text is scored once") {
  // Everything wide, of width 4: n - 4 contexts in one copy, and 4 more across the first seam.
  ProfileOptions options = test::marked_options(100000);
  options.purpose = Purpose::Provenance;
  const Detector detector(test::ring_of(options));
  constexpr std::size_t n = 80;
  const test::Tokens text = test::random_tokens(n, 100000, 1);
  CHECK(detector.detect(text).scored == n - 4);
  test::Tokens copies = text;
  for (int copy = 2; copy <= 6; ++copy) {
    copies.insert(copies.end(), text.begin(), text.end());
    CHECK(detector.detect(copies).scored == n);
  }
  // One token for ever has one context.
  CHECK(detector.detect(test::Tokens(1000, 7)).scored == 1);
  options.purpose = Purpose::Distillation;
  // A repeated narrow context moves on to the wide layer, and that is used up then.
  CHECK(Detector(test::ring_of(options)).detect(test::Tokens(1000, 7)).scored == 2);
}

TEST_CASE("Detector: token scores add up to the score, and are NaN where nothing is scored") {
  const KeyRing ring = test::ring_of(prefixed_options());
  const Detector detector(ring);
  test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 100, vocab_size);
  const test::Tokens again = text;
  for (int copy = 2; copy <= 3; ++copy) text.insert(text.end(), again.begin(), again.end());
  for (const Start start : {Start::Unknown, Start::Response, Start::Both}) {
    const Detection detection = detector.detect(text, start);
    const ProfileResult& result = detection.results.at(0);
    REQUIRE(detection.token_scores.size() == text.size());
    const Scores scores = scores_of(detection.token_scores);
    CHECK(scores.count == result.scored);
    CHECK(scores.count == detection.scored);
    CHECK(scores.sum == doctest::Approx(result.score).epsilon(1e-12));
    CHECK(std::isnan(detection.token_scores[0]));
    CHECK(std::isnan(detection.token_scores[1]));
    // In the second copy the narrow contexts moved on to the wide layer; in the third no context is
    // left.
    for (std::size_t i = 204; i < 300; ++i) CHECK(std::isnan(detection.token_scores[i]));
    const bool is_response = result.start == Start::Response;
    for (std::size_t i = 0; is_response && i < 24; ++i) {
      CHECK(std::isnan(detection.token_scores[i]));
    }
    CHECK(is_response == (start != Start::Unknown));
  }
}

TEST_CASE("Detector: trying both starts is paid for, with a factor of 2 at most") {
  const KeyRing ring = test::ring_of(prefixed_options());
  const Detector detector(ring);
  const test::Tokens response = test::marked_tokens(Sampler(ring, "p"), 120, vocab_size);
  test::Tokens middle(response.begin() + 24, response.end());
  for (const test::Tokens& text :
       {response, middle, test::random_tokens(90, vocab_size, 1), test::Tokens(10, 3)}) {
    const Detection unknown = detector.detect(text, Start::Unknown);
    const Detection whole = detector.detect(text, Start::Response);
    const Detection both = detector.detect(text, Start::Both);
    const Detection& better = unknown.log10_p < whole.log10_p ? unknown : whole;
    const double paid = stats::log10_nested_tail(whole.scored, whole.results[0].score,
                                                 unknown.scored, unknown.results[0].score);
    const double of_sum = test_of(both.results[0], Statistic::Sum).log10_p;
    CHECK(of_sum == paid);
    CHECK(of_sum >= better.log10_p);
    CHECK(of_sum <= better.log10_p + std::log10(2.0));
    CHECK(both.log10_p == both.results[0].log10_p);
    CHECK(both.scored == better.scored);
    CHECK(both.results[0].score == better.results[0].score);
    CHECK(both.results[0].start == better.results[0].start);
    CHECK(scores_of(both.token_scores).count == both.scored);
    const double e_values[] = {unknown.log10_e, whole.log10_e};
    CHECK(both.log10_e == doctest::Approx(stats::log10_mean(e_values)).epsilon(1e-14));
  }
  CHECK(detector.detect(response).results[0].start == Start::Response);
  CHECK(detector.detect(middle).results[0].start == Start::Unknown);
  // The response leaves out what the whole text scores in the first 24 tokens.
  const auto whole = detector.detect(response, Start::Unknown).token_scores;
  CHECK(detector.detect(response, Start::Response).scored ==
        scores_of(std::vector(whole.begin() + 24, whole.end())).count);
}

TEST_CASE("Detector: without a free prefix the start costs nothing") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Detector detector(ring);
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 100, vocab_size);
  const Detection unknown = detector.detect(text, Start::Unknown);
  check_equal(unknown, detector.detect(text, Start::Response));
  CHECK(unknown.log10_p == tail(unknown.scored, unknown.results[0].score));
  CHECK(unknown.log10_e == doctest::Approx(stats::log10_exponential_e_value(
                               unknown.scored, unknown.results[0].score)));
  CHECK(statistics_of(unknown.results[0]) == std::vector{Statistic::Sum});
  const Detection both = detector.detect(text);
  CHECK(both.scored == unknown.scored);
  CHECK(both.results[0].score == unknown.results[0].score);
  CHECK(test_of(both.results[0], Statistic::Sum).log10_p == unknown.log10_p);
  CHECK(both.log10_e == unknown.log10_e);
}

TEST_CASE("Detector: which tests are made depends on the number of scored tokens alone") {
  // Everything wide, of width 4: so many tokens are scored as come after the fourth.
  ProfileOptions options = test::marked_options(100000);
  options.purpose = Purpose::Provenance;
  const Detector detector(test::ring_of(options));
  using enum Statistic;
  struct {
    std::size_t scored;
    std::vector<Statistic> statistics;
    double main_share;
  } const cases[] = {{1, {Sum}, 1.0},
                     {15, {Sum}, 1.0},
                     {16, {Sum, GoodnessOfFit}, 0.95},
                     {63, {Sum, GoodnessOfFit}, 0.95},
                     {64, {Sum, Scan, GoodnessOfFit}, 0.9},
                     {500, {Sum, Scan, GoodnessOfFit}, 0.9},
                     {20'000, {Sum, Scan, GoodnessOfFit}, 0.9},
                     {20'001, {Sum, Scan}, 0.95}};
  for (const auto& c : cases) {
    CAPTURE(c.scored);
    test::Tokens text = test::random_tokens(c.scored + 4, 100000, 1);
    const Detection plain = detector.detect(text);
    REQUIRE(plain.scored == c.scored);
    CHECK(statistics_of(plain.results[0]) == c.statistics);
    CHECK(test_of(plain.results[0], Sum).share == doctest::Approx(c.main_share));
    for (const Test& test : plain.results[0].tests) {
      if (test.statistic != Sum) CHECK(test.share == 0.05);
    }
    if (c.scored > 1000) continue;
    std::vector<Statistic> with_likelihood = c.statistics;
    with_likelihood.insert(with_likelihood.begin(), Likelihood);
    const std::vector<double> probabilities(text.size(), 0.3);
    const Detection model = detector.detect(text, {.probabilities = probabilities});
    CHECK(statistics_of(model.results[0]) == with_likelihood);
    CHECK(test_of(model.results[0], Likelihood).share == doctest::Approx(c.main_share - 0.1));
    CHECK(test_of(model.results[0], Sum).share == 0.1);
    for (const Start start : {Start::Unknown, Start::Response}) {
      CHECK(statistics_of(detector.detect(text, start).results[0]) == std::vector{Sum});
      const Detection stated = detector.detect(text, {.probabilities = probabilities}, start);
      CHECK(statistics_of(stated.results[0]) == std::vector{Likelihood, Sum});
      CHECK(test_of(stated.results[0], Likelihood).share == doctest::Approx(0.9));
    }
  }
}

TEST_CASE("Detector: a model's probabilities find a mark of little entropy") {
  const KeyRing ring = test::ring_of(prefixed_options());
  const Detector detector(ring);
  constexpr double temperature = 0.25;
  const test::Tokens text = marked_at(Sampler(ring, "p"), 400, temperature);
  const std::vector<double> probabilities = probabilities_of(text, temperature);
  const Detection alone = detector.detect(text);
  const Detection with =
      detector.detect(text, {.probabilities = probabilities, .entropy_bits = 7.5});
  CHECK(with.verdict == Verdict::Marked);
  CHECK(with.log10_p < alone.log10_p - 10.0);
  CHECK(with.log10_e > alone.log10_e + 10.0);
  CHECK(test_of(with.results[0], Statistic::Sum).log10_p ==
        test_of(alone.results[0], Statistic::Sum).log10_p);
  CHECK(with.entropy_bits == 7.5);
  CHECK_FALSE(alone.entropy_bits.has_value());
  // Of another model, a worse one; and on a text without the mark.
  const std::vector<double> of_other = probabilities_of(text, 1.0);
  CHECK(detector.detect(text, {.probabilities = of_other}).verdict == Verdict::Marked);
  const test::Tokens other = test::random_tokens(400, vocab_size, 5);
  const std::vector<double> of_random = probabilities_of(other);
  CHECK(detector.detect(other, {.probabilities = of_random}).verdict ==
        Verdict::NotMarkedByTheseKeys);
  // The better start is paid for by a factor of 2.
  const auto likelihood = [&](Start start) {
    return test_of(detector.detect(text, {.probabilities = probabilities}, start).results[0],
                   Statistic::Likelihood)
        .log10_p;
  };
  CHECK(likelihood(Start::Both) ==
        doctest::Approx(std::min(likelihood(Start::Unknown), likelihood(Start::Response)) +
                        std::log10(2.0)));
}

TEST_CASE("Detector: probabilities of the wrong number or out of range are told by their token") {
  const Detector detector(test::ring_of(test::marked_options(vocab_size)));
  const test::Tokens text = test::random_tokens(40, vocab_size, 1);
  const auto thrown_with = [&](const std::vector<double>& probabilities) {
    return test::thrown_by([&] { detector.detect(text, {.probabilities = probabilities}); });
  };
  for (const std::size_t size : {0, 39, 41}) {
    const auto thrown = thrown_with(std::vector<double>(size, 0.5));
    CHECK(thrown.code == ErrorCode::SizeMismatch);
    CHECK(thrown.names("40 tokens"));
    CHECK(thrown.names(std::to_string(size) + " probabilities"));
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {-1e-9, -3.5, 1.002, 12.0, infinity, -infinity}) {
    CAPTURE(wrong);
    std::vector<double> probabilities(40, 0.5);
    probabilities[17] = wrong;
    const auto thrown = thrown_with(probabilities);
    CHECK(thrown.code == ErrorCode::InvalidProbability);
    CHECK(thrown.names("token 17 "));
    CHECK(thrown.names("logits"));
  }
  // 0 is as good as not known, and what rounding adds to 1 is taken off.
  const auto detected = [&](double special) {
    std::vector<double> probabilities(40, 0.5);
    probabilities[17] = special;
    return to_json(detector.detect(text, {.probabilities = probabilities}));
  };
  CHECK(detected(0.0) == detected(std::numeric_limits<double>::quiet_NaN()));
  CHECK(detected(-0.0) == detected(0.0));
  CHECK(detected(1.0005) == detected(1.0));
  CHECK(detected(1.0) != detected(0.5));
  // Where none is known the likelihood says nothing.
  const std::vector<double> none(40, 0.0);
  const Detection detection = detector.detect(text, {.probabilities = none});
  CHECK(test_of(detection.results[0], Statistic::Likelihood).log10_p == 0.0);
}

TEST_CASE("Detector: the parts of a text that are marked are told, with their characters") {
  const KeyRing ring = ring_of_three();
  const Detector detector(ring);
  // Of the mark of "b", of none, of "a" and of none.
  test::Tokens text = test::marked_tokens(Sampler(ring, "b"), 150, vocab_size);
  append(text, test::random_tokens(400, vocab_size, 7));
  append(text, test::marked_tokens(Sampler(ring, "a"), 200, vocab_size));
  append(text, test::random_tokens(300, vocab_size, 8));
  Detection detection = detector.detect(text);
  CHECK(detection.verdict == Verdict::Marked);
  REQUIRE(detection.regions.size() == 2);
  constexpr struct {
    const char* profile;
    double begin, end;
  } expected[] = {{"b", 0, 150}, {"a", 550, 750}};
  for (std::size_t i = 0; i < 2; ++i) {
    const Region& region = detection.regions[i];
    CHECK(region.profile == expected[i].profile);
    CHECK(std::abs(static_cast<double>(region.begin) - expected[i].begin) < 25.0);
    CHECK(std::abs(static_cast<double>(region.end) - expected[i].end) < 25.0);
    CHECK(region.log10_p <= detection.log10_threshold);
    CHECK(region.scored <= region.end - region.begin);
    CHECK(region.score > 1.5 * static_cast<double>(region.scored));
    CHECK_FALSE(region.characters.has_value());
    // Its profile's scan, corrected for three profiles.
    const auto& result = detection.results[region.profile == "a" ? 0 : 1];
    CHECK(region.log10_p == doctest::Approx(test_of(result, Statistic::Scan).log10_p -
                                            std::log10(0.05) + std::log10(3.0)));
  }
  CHECK(detector.detect(text, Start::Unknown).regions.empty());
  CHECK(detector.detect(test::random_tokens(1000, vocab_size, 9)).regions.empty());

  // Three characters a token, in an order of its own within the regions.
  std::vector<std::pair<std::size_t, std::size_t>> characters;
  for (std::size_t i = 0; i < text.size(); ++i) characters.emplace_back(3 * i, 3 * i + 3);
  std::swap(characters[detection.regions[0].begin], characters[detection.regions[0].begin + 1]);
  locate(detection, characters);
  for (const Region& region : detection.regions) {
    CHECK(region.characters == std::pair(3 * region.begin, 3 * region.end));
  }
  characters.pop_back();
  CHECK(test::thrown_by([&] { locate(detection, characters); }).code == ErrorCode::SizeMismatch);
}

TEST_CASE("Detector::detect_variants: the best variant is told, and paid for as one of them") {
  const KeyRing ring = ring_of_three();
  const Detector detector(ring);
  const test::Tokens marked = test::marked_tokens(Sampler(ring, "c"), 100, vocab_size);
  const test::Tokens other = test::random_tokens(90, vocab_size, 1);
  const std::vector<std::span<const TokenId>> texts = {other, marked, other};
  const Detection alone = detector.detect(marked), best = detector.detect_variants(texts);
  CHECK(best.variant == 1);
  CHECK(best.variants == 3);
  CHECK(best.verdict == Verdict::Marked);
  CHECK(best.profile == "c");
  CHECK(best.log10_p == doctest::Approx(alone.log10_p + std::log10(3.0)).epsilon(1e-14));
  CHECK(best.results[2].log10_p == alone.results[2].log10_p);
  CHECK(best.token_scores.size() == 100);
  REQUIRE(best.regions.size() == 1);
  CHECK(best.regions[0].log10_p ==
        doctest::Approx(alone.regions[0].log10_p + std::log10(3.0)).epsilon(1e-14));
  // One variant costs nothing; the threshold is for all of them together.
  const std::vector<std::span<const TokenId>> one = {marked};
  check_equal(detector.detect_variants(one, Start::Unknown),
              detector.detect(marked, Start::Unknown));
  const Detector strict(ring, {.false_positive_rate = std::pow(10.0, alone.log10_p + 0.3)});
  CHECK(strict.detect(marked).verdict == Verdict::Marked);
  CHECK(strict.detect_variants(texts).verdict != Verdict::Marked);

  CHECK(test::thrown_by([&] { detector.detect_variants({}); }).code == ErrorCode::EmptyText);
  const std::vector<std::span<const TokenId>> with_empty = {marked, {}};
  CHECK(test::thrown_by([&] { detector.detect_variants(with_empty); }).code ==
        ErrorCode::EmptyText);
}

TEST_CASE("Detector::rank: a marked text's key is the first among decoys") {
  const KeyRing ring = ring_of_three();
  const Detector detector(ring);
  const test::Tokens text = test::marked_tokens(Sampler(ring, "b"), 100, vocab_size);
  const DecoyRank rank = detector.rank(text, "b");
  CHECK(rank.profile == "b");
  CHECK(rank.log10_p == detector.detect(text).results[1].log10_p);
  CHECK(rank.decoys.size() == 99);
  CHECK(rank.rank == 1);
  CHECK(rank.log10_rank_p == doctest::Approx(-2.0));
  CHECK(rank.agrees);
  CHECK(*std::ranges::min_element(rank.decoys) > rank.log10_p);
  // The same keys every time; another key has others.
  CHECK(detector.rank(text, "b", 20).decoys ==
        std::vector(rank.decoys.begin(), rank.decoys.begin() + 20));
  CHECK(detector.rank(text, "a").decoys != rank.decoys);
  CHECK(detector.rank(text, "a").rank > 1);
  // Where nothing is scored all are the same, and the rank is the last.
  CHECK(detector.rank(test::Tokens{1}, "a", 9).rank == 10);
  CHECK(detector.rank(test::Tokens{1}, "a", 9).log10_rank_p == 0.0);
}

TEST_CASE("Detector::rank: a text that a decoy takes for its own breaks an assumption") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size), 1);
  const keys::Secret decoy = keys::derive(test::secret(1), "decoy/3");
  KeyRing of_decoy = KeyRing::generate();
  of_decoy.import_secret("p", decoy.reveal(), test::marked_options(vocab_size));
  const test::Tokens text = test::marked_tokens(Sampler(of_decoy, "p"), 100, vocab_size);
  const DecoyRank rank = Detector(ring).rank(text, "p", 9);
  CHECK_FALSE(rank.agrees);
  CHECK(rank.rank >= 2);
  CHECK(rank.decoys[3] < -20.0);
  CHECK(Detector(ring).rank(text, "p", 3).agrees);
}

TEST_CASE("Detector::rank: asks for a profile that it tests, a text and a number of decoys") {
  const Detector detector(test::ring_of(test::marked_options(vocab_size)));
  const test::Tokens text = test::random_tokens(20, vocab_size, 1);
  for (const std::size_t decoys : {std::size_t{0}, std::size_t{100'001}}) {
    const auto thrown = test::thrown_by([&] { detector.rank(text, "p", decoys); });
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("decoys must be in 1..100000"));
  }
  CHECK(test::thrown_by([&] { detector.rank(text, "z"); }).code == ErrorCode::UnknownProfile);
  CHECK(test::thrown_by([&] { detector.rank({}, "p"); }).code == ErrorCode::EmptyText);
  CHECK(test::thrown_by([&] { detector.rank(test::Tokens{50}, "p"); }).code ==
        ErrorCode::TokenOutOfRange);
  CHECK(detector.rank(text, "p", 1).decoys.size() == 1);
}

TEST_CASE("Detector: how many tokens more it takes is told where a text is too short") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Detector detector(ring);
  const test::Tokens text = test::random_tokens(600, vocab_size, 1);
  CHECK(*detector.detect(std::span(text).first(1)).tokens_to_decide > 100);
  std::size_t before = 1000;
  for (const std::size_t n : {20, 60, 100}) {
    CAPTURE(n);
    const Detection detection = detector.detect(std::span(text).first(n));
    CHECK(detection.verdict == Verdict::Insufficient);
    REQUIRE(detection.tokens_to_decide.has_value());
    const std::size_t more = *detection.tokens_to_decide;
    CHECK(more > 0);
    CHECK(n + more < 250);
    CHECK(more < before);
    before = more;
    // And a few for contexts that come twice.
    CHECK(detector.detect(std::span(text).first(n + more + n / 10 + 20)).verdict ==
          Verdict::NotMarkedByTheseKeys);
  }
  CHECK(detector.detect(text).tokens_to_decide == 0);
  CHECK(
      detector.detect(test::marked_tokens(Sampler(ring, "p"), 100, vocab_size)).tokens_to_decide ==
      0);
  // A model tells how much each token can say: certain ones nothing, at any length.
  const auto with = [&](std::size_t n, double p) {
    const std::vector<double> probabilities(n, p);
    return detector.detect(std::span(text).first(n), {.probabilities = probabilities});
  };
  CHECK(with(600, 0.999999999).verdict == Verdict::Insufficient);
  CHECK(with(600, 1.0).verdict == Verdict::Insufficient);
  CHECK_FALSE(with(600, 1.0).tokens_to_decide.has_value());
  CHECK(with(200, 0.9).verdict == Verdict::Insufficient);
  CHECK(*with(200, 0.9).tokens_to_decide > *with(400, 0.9).tokens_to_decide);
  CHECK(with(60, 0.01).verdict == Verdict::NotMarkedByTheseKeys);
}

TEST_CASE("Detector: several profiles are corrected for by Holm, and the best is named") {
  const KeyRing ring = ring_of_three();
  const Detector detector(ring);
  const test::Tokens text = test::marked_tokens(Sampler(ring, "b"), 200, vocab_size);
  const Detection detection = detector.detect(text);
  CHECK(detection.tested == 3);
  CHECK(detection.best == 1);
  CHECK(detection.profile == "b");
  CHECK(detection.verdict == Verdict::Marked);
  REQUIRE(detection.results.size() == 3);
  std::vector<double> log10_p, log10_e;
  for (const ProfileResult& result : detection.results) {
    CAPTURE(result.profile);
    const std::vector<std::string> only = {result.profile};
    const Detection alone = Detector(ring, only).detect(text);
    CHECK(result.log10_p == alone.log10_p);
    CHECK(result.score == alone.results[0].score);
    CHECK(result.is_marked == (result.profile == "b"));
    if (result.profile == "b")
      CHECK(scores_of(detection.token_scores).sum == doctest::Approx(result.score).epsilon(1e-12));
    log10_p.push_back(result.log10_p);
    log10_e.push_back(result.log10_e);
  }
  const std::vector<double> adjusted = stats::log10_holm(log10_p);
  for (std::size_t i = 0; i < 3; ++i) CHECK(detection.results[i].log10_p_adjusted == adjusted[i]);
  CHECK(detection.log10_p == adjusted[1]);
  CHECK(detection.log10_p == doctest::Approx(log10_p[1] + std::log10(3.0)).epsilon(1e-14));
  CHECK(detection.log10_e == stats::log10_mean(log10_e));
}

TEST_CASE("Detector: tests the profiles named, in their order, retired ones too") {
  KeyRing ring = ring_of_three();
  ring.retire("a");
  const std::vector<std::string> named = {"c", "a"};
  const Detector detector(ring, named);
  REQUIRE(detector.profiles().size() == 2);
  CHECK(detector.profiles()[0].id() == "c");
  CHECK_FALSE(detector.profiles()[1].is_active());
  CHECK(Detector(ring).profiles().size() == 3);
  const Detection detection = detector.detect(test::random_tokens(50, vocab_size, 1));
  CHECK(detection.results[0].profile == "c");
  CHECK(detection.results[1].profile == "a");
}

TEST_CASE("Detector::detect_many: equals detect, text by text") {
  const Detector detector(ring_of_three());
  std::vector<test::Tokens> texts;
  for (std::size_t i = 1; i <= 20; ++i) texts.push_back(test::random_tokens(7 * i, vocab_size, i));
  const std::vector<std::span<const TokenId>> views(texts.begin(), texts.end());
  const auto many = detector.detect_many(views, Start::Unknown, 3);
  REQUIRE(many.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    check_equal(many[i], detector.detect(texts[i], Start::Unknown));
  }
  CHECK(detector.detect_many({}).empty());
}

TEST_CASE("Detector::detect_many: of several texts at fault the first is told") {
  const Detector detector(ring_of_three());
  std::vector<test::Tokens> texts(30, test::random_tokens(50, vocab_size, 1));
  texts[11][4] = -1;
  texts[12].clear();
  texts[29][0] = 50;
  const std::vector<std::span<const TokenId>> views(texts.begin(), texts.end());
  for (const unsigned threads : {1U, 4U}) {
    const auto thrown = test::thrown_by([&] { detector.detect_many(views, Start::Both, threads); });
    CHECK(thrown.code == ErrorCode::TokenOutOfRange);
    CHECK(thrown.names("text 11: token 4 "));
  }
}

TEST_CASE("Detector: with accounts, ours is the narrow layer and an account the wide one") {
  ProfileOptions options = test::account_options(vocab_size);
  options.free_prefix = 24;
  const KeyRing ring = test::ring_of(options);
  const Detector detector(ring);
  const test::Tokens text =
      test::marked_tokens(Sampler(ring, "p"), 300, vocab_size, {.account = 42, .seed = 1});
  const Detection ours = detector.detect(text);
  CHECK(ours.verdict == Verdict::Marked);
  CHECK(ours.log10_p < -10.0);
  const AccountScore right = detector.score_account(text, "p", 42);
  CHECK(right.log10_p < -10.0);
  for (const std::optional<std::uint64_t> wrong :
       {std::optional<std::uint64_t>(43), std::optional<std::uint64_t>(0),
        std::optional<std::uint64_t>()}) {
    CHECK(detector.score_account(text, "p", wrong).log10_p > -4.0);
    CHECK(detector.score_account(text, "p", wrong, Start::Unknown).scored ==
          detector.score_account(text, "p", 42, Start::Unknown).scored);
  }
  // Narrow and wide positions are the whole of a text, once its contexts exist.
  const auto narrow = detector.detect(text, Start::Unknown).scored;
  const auto wide = detector.score_account(text, "p", 42, Start::Unknown).scored;
  ProfileOptions plain = options;
  plain.accounts = false;
  CHECK(narrow + wide == Detector(test::ring_of(plain)).detect(text, Start::Unknown).scored);
}

TEST_CASE("Detector: no account is a candidate too, and its mark is found as such") {
  const KeyRing ring = test::ring_of(test::account_options(vocab_size));
  const Detector detector(ring);
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 300, vocab_size, {.seed = 1});
  CHECK(detector.detect(text).verdict == Verdict::Marked);
  CHECK(detector.score_account(text, "p", {}).log10_p < -10.0);
  CHECK(detector.score_account(text, "p", 0).log10_p > -4.0);
}

TEST_CASE("Detector::score_account: asks for a profile with accounts that it tests") {
  KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  ring.import_secret("with", test::secret_bytes(2), test::account_options(vocab_size));
  const Detector detector(ring);
  const test::Tokens text = test::random_tokens(50, vocab_size, 1);
  const auto score = [&](const test::Tokens& tokens, const char* id) {
    return test::thrown_by([&] { detector.score_account(tokens, id, 1); });
  };
  CHECK(score(text, "p").code == ErrorCode::AccountMismatch);
  CHECK(score(text, "nobody").code == ErrorCode::UnknownProfile);
  CHECK(score({}, "with").code == ErrorCode::EmptyText);
  CHECK(score({1, 2, 50}, "with").names("token 2 "));
  CHECK(score(text, "with").message == "");
}

TEST_CASE("Detector: not by these keys takes enough tokens under each of them") {
  auto ring = KeyRing::generate();
  ring.create_profile("all", {.purpose = Purpose::Provenance});
  // Nearly every context is free under this one.
  ring.create_profile("few", {.narrow_units = 100, .free_units = 65000});
  test::Tokens tokens;
  for (TokenId i = 0; i < 400; ++i) tokens.push_back(i * 7919 % 5003);
  const std::vector<std::string> all = {"all"};
  CHECK(Detector(ring, all).detect(tokens).verdict == Verdict::NotMarkedByTheseKeys);
  CHECK(Detector(ring).detect(tokens).verdict == Verdict::Insufficient);
}
