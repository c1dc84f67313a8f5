#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

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
    CHECK(both.log10_p == paid);
    CHECK(both.log10_p >= better.log10_p);
    CHECK(both.log10_p <= better.log10_p + std::log10(2.0));
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
  const Detection both = detector.detect(text);
  check_equal(both, detector.detect(text, Start::Unknown));
  check_equal(both, detector.detect(text, Start::Response));
  CHECK(both.log10_p == tail(both.scored, both.results[0].score));
  CHECK(both.log10_e ==
        doctest::Approx(stats::log10_exponential_e_value(both.scored, both.results[0].score)));
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
