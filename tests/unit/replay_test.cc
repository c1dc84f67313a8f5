#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rates.h"
#include "replay/draw_evidence.h"
#include "stats/evidence.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
const std::vector<std::string> only_p = {"p"};

test::Row row_at(std::size_t position) { return test::random_row(vocab_size, position); }

ProfileOptions prefixed_options() {
  ProfileOptions options = test::marked_options(vocab_size);
  options.free_prefix = 24;
  return options;
}

/// Replays `tokens` as a response of the model whose rows are row_at(position).
void observe_all(Replay& replay, std::span<const TokenId> tokens, std::size_t first = 0) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    REQUIRE(replay.observe(row_at(first + i), tokens[i]) == ErrorCode::Ok);
  }
}

Detection replayed(const KeyRing& ring, std::span<const TokenId> tokens,
                   const ReplayOptions& options = {}) {
  Replay replay(ring, only_p, options);
  observe_all(replay, tokens);
  return replay.detection();
}

std::size_t count_scores(const Detection& detection) {
  return static_cast<std::size_t>(std::ranges::count_if(
      detection.token_scores, [](double score) { return !std::isnan(score); }));
}

/// The model's own view of a position, in plain words.
struct Plain {
  double probability = 0.0;
  double entropy_bits = 0.0;
};

Plain plain_at(std::size_t position, TokenId token, double temperature = 1.0) {
  const test::Row row = row_at(position);
  double total = 0.0;
  for (const float logit : row) total += std::exp(static_cast<double>(logit) / temperature);
  Plain plain;
  for (std::size_t id = 0; id < row.size(); ++id) {
    const double p = std::exp(static_cast<double>(row[id]) / temperature) / total;
    plain.entropy_bits -= p * std::log2(p);
    if (static_cast<TokenId>(id) == token) plain.probability = p;
  }
  return plain;
}

/// The same as DrawEvidence, in logarithms.
class PlainEvidence {
 public:
  void add(double hit) {
    for (std::size_t k = 0; k < 4; ++k) {
      logs_[k] += std::log((1.0L - epsilons[k]) * hit + epsilons[k]);
    }
    largest_ = std::max(largest_, log10_e());
  }
  long double log10_e() const {
    long double top = -HUGE_VALL, sum = 0.0L;
    for (std::size_t k = 0; k < 4; ++k) top = std::max(top, logs_[k] + std::log(weights[k]));
    for (std::size_t k = 0; k < 4; ++k) sum += std::exp(logs_[k] + std::log(weights[k]) - top);
    return (top + std::log(sum)) / std::numbers::ln10_v<long double>;
  }
  long double largest_log10_e() const { return largest_; }

 private:
  static constexpr long double epsilons[] = {0.02L, 0.1L, 0.3L, 0.6L};
  static constexpr long double weights[] = {0.7L, 0.1L, 0.1L, 0.1L};
  long double logs_[4] = {}, largest_ = 0.0L;
};

/// Never above the truth; below it only where a product fell out of sight.
void check_not_above(const DrawEvidence& evidence, const PlainEvidence& plain) {
  const auto log10_e = static_cast<double>(plain.log10_e());
  const auto largest = static_cast<double>(plain.largest_log10_e());
  REQUIRE(evidence.log10_e() <= log10_e + 1e-10 * (1.0 + std::abs(log10_e)));
  REQUIRE(evidence.largest_log10_e() <= largest + 1e-10 * (1.0 + largest));
  REQUIRE(evidence.largest_log10_e() >= largest - 1e-10 * (1.0 + largest));
}

}  // namespace

TEST_CASE("Replay: a marked response is taken at nearly all of its entropy") {
  const KeyRing ring = test::ring_of(prefixed_options());
  const Sampler sampler(ring, "p");
  for (const double temperature : {1.0, 0.6}) {
    CAPTURE(temperature);
    Sequence sequence = sampler.sequence({.seed = 1});
    for (std::size_t i = 0; i < 150; ++i) {
      TokenId token = 0;
      REQUIRE(sequence.sample(row_at(i), {.temperature = temperature}, token) == ErrorCode::Ok);
    }
    const auto tokens = sequence.tokens();
    const Detection found = replayed(ring, tokens, {.sampling = {.temperature = temperature}});
    CHECK(found.verdict == Verdict::Marked);
    CHECK(found.profile == "p");

    // Every draw is hit, so that the e-value is known: the mean over four shares of failed draws.
    constexpr double epsilons[] = {0.02, 0.1, 0.3, 0.6}, weights[] = {0.7, 0.1, 0.1, 0.1};
    std::vector<double> products(4);
    double entropy_bits = 0.0, squares = 0.0, surprise = 0.0;
    std::size_t scored = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (std::isnan(found.token_scores[i])) continue;
      ++scored;
      const Plain plain = plain_at(i, tokens[i], temperature);
      entropy_bits += plain.entropy_bits;
      const double bits = -std::log2(plain.probability);
      surprise += bits;
      squares += (bits - plain.entropy_bits) * (bits - plain.entropy_bits);
      for (std::size_t k = 0; k < 4; ++k) {
        products[k] += std::log10((1.0 - epsilons[k]) / plain.probability + epsilons[k]);
      }
    }
    for (std::size_t k = 0; k < 4; ++k) products[k] += std::log10(weights[k]);
    const ProfileResult& result = found.results.at(0);
    CHECK(result.log10_e == doctest::Approx(stats::log10_sum(products)).epsilon(1e-9));
    CHECK(result.log10_p == -result.log10_e);
    REQUIRE(found.entropy_bits.has_value());
    CHECK(*found.entropy_bits == doctest::Approx(entropy_bits).epsilon(1e-9));
    // Five standard deviations of the surprise, and the price of failed draws that there were none.
    CHECK(std::abs(surprise - entropy_bits) < 5.0 * std::sqrt(squares));
    CHECK(result.log10_e > surprise * std::log10(2.0) - 0.01 * static_cast<double>(scored) - 0.5);

    CHECK(result.scored == scored);
    CHECK(found.scored == scored);
    CHECK(scored == sequence.stats().marked);
    double score = 0.0;
    for (const double one : found.token_scores) score += std::isnan(one) ? 0.0 : one;
    CHECK(score == doctest::Approx(result.score).epsilon(1e-12));
    // The free prefix is no draw of the mark.
    for (std::size_t i = 0; i < 24; ++i) CHECK(std::isnan(found.token_scores[i]));
    CHECK(result.start == Start::Response);
    REQUIRE(result.tests.size() == 1);
    CHECK(result.tests[0].statistic == Statistic::Replay);
    CHECK(result.tests[0].share == 1.0);
    CHECK(result.tests[0].log10_p == result.log10_p);
    CHECK(found.regions.empty());
  }
}

TEST_CASE("Replay: another key, or a text that nobody marked, shows nothing") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size), 1);
  const Sampler other = test::sampler_of(test::marked_options(vocab_size), 2);
  for (const test::Tokens& text :
       {test::marked_tokens(other, 200, vocab_size), test::random_tokens(200, vocab_size, 3)}) {
    const Detection detection = replayed(ring, text);
    CHECK(detection.verdict == Verdict::NotMarkedByTheseKeys);
    CHECK(detection.profile.empty());
    CHECK(detection.log10_p > -3.0);
    CHECK(detection.log10_p <= 0.0);
    CHECK(detection.log10_e < 0.0);
    CHECK(*detection.tokens_to_decide == 0);
  }
}

TEST_CASE("Replay: over many keys the e-values have a mean of 1 at most, and p-values are valid") {
  const ReplayOptions options = {.sampling = {.temperature = 0.25}};
  // The likeliest token each time: there the draws are hit as often as can be.
  test::Tokens likely;
  for (std::size_t i = 0; i < 6; ++i) {
    const test::Row row = row_at(i);
    likely.push_back(static_cast<TokenId>(std::ranges::max_element(row) - row.begin()));
  }
  // And one where unlikely tokens and a context that comes again are between.
  test::Tokens mixed = test::random_tokens(12, vocab_size, 5);
  std::copy(likely.begin() + 2, likely.end(), mixed.begin() + 2);
  mixed.insert(mixed.end(), mixed.begin(), mixed.begin() + 5);
  for (const test::Tokens& text : {likely, mixed}) {
    CAPTURE(text.size());
    constexpr std::size_t keys_tried = 2000;
    constexpr double rates[] = {0.5, 0.1, 0.01};
    std::size_t small[3] = {}, positive = 0;
    double e_sum = 0.0;
    for (std::uint64_t n = 0; n < keys_tried; ++n) {
      const KeyRing ring = test::ring_of(test::marked_options(vocab_size), n);
      const Detection detection = replayed(ring, text, options);
      e_sum += std::min(20.0, std::pow(10.0, detection.log10_e));
      positive += detection.log10_e > 0.0;
      for (std::size_t r = 0; r < 3; ++r) small[r] += detection.log10_p <= std::log10(rates[r]);
    }
    // Cut off at 20, an e-value has a mean of at most 1 and a variance of at most 20: by
    // Bernstein's inequality their mean over 2000 keys exceeds 1.6 with a probability of less than
    // 1e-6.
    const double mean = e_sum / static_cast<double>(keys_tried);
    CHECK(mean < 1.6);
    // Of the likely ones nothing is cut off, and it is 1.
    if (text.size() == likely.size()) CHECK(mean > 0.5);
    CHECK(positive > 0);
    for (std::size_t r = 0; r < 3; ++r) {
      CAPTURE(rates[r]);
      CHECK(test::chance_of(small[r], keys_tried, rates[r]) > 1e-6);
    }
  }
}

TEST_CASE("DrawEvidence: is the mean of four products, however far they go up and down") {
  // Long runs of misses and of hits, and both in turn: beyond a double either way.
  constexpr double hits[][4] = {
      {0.0, 0.0, 0.0, 0.0}, {50.0, 3.0, 1e6, 1.1}, {0.0, 4.0, 0.0, 4.0}, {1.0, 1.0, 1.0, 1.0}};
  DrawEvidence evidence(0.02);
  PlainEvidence plain;
  for (const std::size_t which : {3, 0, 1, 0, 2, 3, 0, 0, 1, 2, 0}) {
    CAPTURE(which);
    for (std::size_t i = 0; i < 2500; ++i) {
      evidence.add(hits[which][i % 4]);
      plain.add(hits[which][i % 4]);
      if (i % 50 == 0) check_not_above(evidence, plain);
    }
  }
  // No product is lost among the first few hundred draws.
  DrawEvidence few(0.02);
  PlainEvidence plain_few;
  for (std::size_t i = 0; i < 400; ++i) {
    few.add(hits[2 * (i / 100) % 3][i % 4]);
    plain_few.add(hits[2 * (i / 100) % 3][i % 4]);
    REQUIRE(few.log10_e() == doctest::Approx(static_cast<double>(plain_few.log10_e())));
  }
}

TEST_CASE("DrawEvidence: a product that fell out of sight does not come back") {
  // In misses the smallest shares of failed draws fall behind, in hits the largest one does, and in
  // misses again it comes to the front: where it was rounded to the least number above 0 in
  // between, it would be too large then.
  for (const std::size_t hits : {2000, 2040, 2050, 2080, 2090, 2200}) {
    CAPTURE(hits);
    DrawEvidence evidence(0.02);
    PlainEvidence plain;
    for (std::size_t i = 0; i < hits + 2000; ++i) {
      const double among_misses = i > 500 && i % 8 == 0 ? 3.0 : 0.0;
      const double hit = i >= 500 && i < 500 + hits ? 30.0 : among_misses;
      evidence.add(hit);
      plain.add(hit);
      if (i % 20 == 0) check_not_above(evidence, plain);
    }
  }
  // Of a token that could hardly be drawn no more is made than a double holds.
  DrawEvidence rare(0.02);
  for (int i = 0; i < 100; ++i) {
    rare.add(0x1p190);
    rare.add(HUGE_VAL);
  }
  CHECK(std::isfinite(rare.log10_e()));
  CHECK(rare.largest_log10_e() == rare.log10_e());
}

TEST_CASE("Replay: a long text that nobody marked shows as little as a short one") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Detection detection = replayed(ring, test::random_tokens(4000, vocab_size, 6));
  CHECK(detection.scored > 2500);
  CHECK(detection.log10_e < -100.0);
  CHECK(detection.log10_p > -3.0);
  CHECK(detection.verdict == Verdict::NotMarkedByTheseKeys);
}

TEST_CASE("Replay: edited tokens spoil some draws, and the others speak on") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 200, vocab_size);
  const double whole = replayed(ring, text).log10_e;
  double before = whole;
  for (const std::size_t every : {25, 10, 6}) {
    CAPTURE(every);
    test::Tokens edited = text;
    for (std::size_t i = every / 2; i < edited.size(); i += every) {
      edited[i] = (edited[i] + 1) % static_cast<TokenId>(vocab_size);
    }
    const Detection detection = replayed(ring, edited);
    CHECK(detection.verdict == Verdict::Marked);
    CHECK(detection.log10_e < before);
    before = detection.log10_e;
  }
  // An asked-for share that is right is worth more than one that is too small.
  for (std::size_t i = 3; i < text.size(); i += 6) {
    text[i] = (text[i] + 1) % static_cast<TokenId>(vocab_size);
  }
  CHECK(replayed(ring, text, {.epsilon = 0.5}).log10_e >
        replayed(ring, text, {.epsilon = 1e-6}).log10_e);
}

TEST_CASE("Replay: what was shown once stays shown, whatever follows") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  Replay replay(ring, only_p);
  observe_all(replay, test::marked_tokens(Sampler(ring, "p"), 100, vocab_size));
  const Detection before = replay.detection();
  CHECK(before.verdict == Verdict::Marked);
  CHECK(before.results[0].log10_p == -before.log10_e);
  observe_all(replay, test::random_tokens(100, vocab_size, 1), 100);
  const Detection after = replay.detection();
  CHECK(after.token_scores.size() == 200);
  CHECK(after.log10_p <= before.log10_p);
  CHECK(after.log10_p > before.log10_p - 3.0);
  CHECK(after.log10_e < before.log10_e - 5.0);
  Replay moved(std::move(replay));
  CHECK(to_json(moved.detection()) == to_json(after));
}

TEST_CASE("Replay: tokens of unknown logits say nothing, and the mark is followed beyond them") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 120, vocab_size);
  const Detection whole = replayed(ring, text);
  Replay replay(ring, only_p);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_known = i % 2 == 1;
    REQUIRE((is_known ? replay.observe(row_at(i), text[i]) : replay.observe(text[i])) ==
            ErrorCode::Ok);
  }
  const Detection half = replay.detection();
  CHECK(half.verdict == Verdict::Marked);
  for (std::size_t i = 0; i < text.size(); ++i) {
    CHECK(std::isnan(half.token_scores[i]) == (std::isnan(whole.token_scores[i]) || i % 2 == 0));
    if (!std::isnan(half.token_scores[i])) CHECK(half.token_scores[i] == whole.token_scores[i]);
  }
  CHECK(half.scored == count_scores(half));
  CHECK(half.log10_e < whole.log10_e);
}

TEST_CASE("Replay: a token that could not be drawn, and one that had to be, say nothing") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  constexpr float excluded = -std::numeric_limits<float>::infinity();
  Replay replay(ring, only_p);
  const test::Tokens text = test::random_tokens(60, vocab_size, 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    test::Row row = row_at(i);
    const auto id = static_cast<std::size_t>(text[i]);
    if (i % 2 == 0) {
      row[id] = excluded;
    } else {
      const float own = row[id];
      std::ranges::fill(row, excluded);
      row[id] = own;
    }
    REQUIRE(replay.observe(row, text[i]) == ErrorCode::Ok);
  }
  const Detection detection = replay.detection();
  CHECK(detection.scored == 0);
  CHECK(detection.log10_p == 0.0);
  CHECK(detection.log10_e == 0.0);
  CHECK(count_scores(detection) == 0);
}

TEST_CASE("Replay: without entropy there is nothing to find, and no length would do") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 60, vocab_size);
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.top_k = 1}}) {
    const Detection detection = replayed(ring, text, {.sampling = sampling});
    CHECK(detection.scored == 0);
    CHECK(detection.log10_p == 0.0);
    CHECK(detection.log10_e == 0.0);
    CHECK(*detection.entropy_bits == 0.0);
    CHECK(detection.verdict == Verdict::Insufficient);
    CHECK_FALSE(detection.tokens_to_decide.has_value());
  }
}

TEST_CASE("Replay: too little entropy is insufficient, and how much more it takes is told") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const test::Tokens text = test::random_tokens(5, vocab_size, 4);
  const Detection detection = replayed(ring, text);
  CHECK(detection.verdict == Verdict::Insufficient);
  REQUIRE(detection.tokens_to_decide.has_value());
  const std::size_t more = *detection.tokens_to_decide;
  CHECK(more > 0);
  // Twenty bits at some 4 to 5 bits a token.
  CHECK(more < 10);
  CHECK(replayed(ring, text, {.false_positive_rate = 0.5}).verdict ==
        Verdict::NotMarkedByTheseKeys);
}

TEST_CASE("Replay: an account's draws are those of its own key") {
  const KeyRing ring = test::ring_of(test::account_options(vocab_size));
  const Sampler sampler(ring, "p");
  const test::Tokens text =
      test::marked_tokens(sampler, 120, vocab_size, {.account = 42, .seed = 1});
  const Detection right = replayed(ring, text, {.account = 42});
  CHECK(right.verdict == Verdict::Marked);
  for (const std::optional<std::uint64_t> wrong :
       {std::optional<std::uint64_t>(43), std::optional<std::uint64_t>()}) {
    const Detection detection = replayed(ring, text, {.account = wrong});
    // The narrow layer still tells who marked it.
    CHECK(detection.verdict == Verdict::Marked);
    CHECK(detection.log10_e < right.log10_e - 10.0);
    CHECK(detection.scored == right.scored);
  }
  const test::Tokens nobody = test::marked_tokens(sampler, 120, vocab_size, {.seed = 1});
  CHECK(replayed(ring, nobody).log10_e > replayed(ring, nobody, {.account = 0}).log10_e + 10.0);
}

TEST_CASE("Replay: several profiles are replayed at once, and corrected for by Holm") {
  KeyRing ring = test::ring_of(test::marked_options(vocab_size), 1);
  ring.import_secret("q", test::secret_bytes(2), test::account_options(vocab_size));
  // Of ids without a tokenizer: the row says how many there are.
  ring.import_secret("r", test::secret_bytes(3), test::marked_options());
  const test::Tokens text =
      test::marked_tokens(Sampler(ring, "q"), 100, vocab_size, {.account = 7, .seed = 1});
  const std::vector<std::string> all = {"p", "q", "r"};
  Replay replay(ring, all, {.account = 7});
  observe_all(replay, text);
  const Detection detection = replay.detection();
  CHECK(detection.verdict == Verdict::Marked);
  CHECK(detection.profile == "q");
  CHECK(detection.best == 1);
  CHECK(detection.tested == 3);
  REQUIRE(detection.results.size() == 3);
  std::vector<double> log10_p, log10_e;
  for (const ProfileResult& result : detection.results) {
    CAPTURE(result.profile);
    const std::vector<std::string> one = {result.profile};
    const bool is_q = result.profile == "q";
    Replay alone(ring, one, {.account = is_q ? std::optional<std::uint64_t>(7) : std::nullopt});
    observe_all(alone, text);
    CHECK(alone.detection().results[0].log10_p == result.log10_p);
    CHECK(alone.detection().results[0].score == result.score);
    if (is_q) CHECK(alone.detection().token_scores[50] == detection.token_scores[50]);
    CHECK(result.is_marked == is_q);
    log10_p.push_back(result.log10_p);
    log10_e.push_back(result.log10_e);
  }
  CHECK(detection.log10_p == stats::log10_holm(log10_p)[1]);
  CHECK(detection.log10_e == stats::log10_mean(log10_e));
}

TEST_CASE("Replay: what is refused changes nothing") {
  KeyRing ring = test::ring_of(test::marked_options(vocab_size), 1);
  ring.import_secret("q", test::secret_bytes(2), test::marked_options());
  const std::vector<std::string> both = {"p", "q"};
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 60, vocab_size);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto with = [](float logit) {
    test::Row row = row_at(1);
    row[30] = logit;
    return row;
  };
  struct {
    const char* name;
    test::Row row;
    TokenId token;
    ErrorCode code;
  } const cases[] = {
      {"short row", test::Row(vocab_size - 1), 3, ErrorCode::SizeMismatch},
      {"no row", test::Row(), 3, ErrorCode::SizeMismatch},
      {"NaN", with(std::numeric_limits<float>::quiet_NaN()), 3, ErrorCode::InvalidLogits},
      {"+inf", with(infinity), 3, ErrorCode::InvalidLogits},
      {"-inf for all", test::Row(vocab_size, -infinity), 3, ErrorCode::NoCandidate},
      {"negative id", row_at(1), -1, ErrorCode::TokenOutOfRange},
      {"large id", row_at(1), 50, ErrorCode::TokenOutOfRange},
  };
  for (const double temperature : {1.0, 0.0}) {
    CAPTURE(temperature);
    const ReplayOptions options = {.sampling = {.temperature = temperature}};
    Replay plain(ring, both, options), disturbed(ring, both, options);
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (i % 7 == 2) {
        for (const auto& c : cases) {
          CAPTURE(c.name);
          CHECK(disturbed.observe(c.row, c.token) == c.code);
        }
        CHECK(disturbed.observe(TokenId{-1}) == ErrorCode::TokenOutOfRange);
        CHECK(disturbed.observe(TokenId{50}) == ErrorCode::TokenOutOfRange);
      }
      REQUIRE(plain.observe(row_at(i), text[i]) == ErrorCode::Ok);
      REQUIRE(disturbed.observe(row_at(i), text[i]) == ErrorCode::Ok);
    }
    CHECK(to_json(disturbed.detection()) == to_json(plain.detection()));
  }
}

TEST_CASE("Replay: options out of range, unknown profiles and stray accounts are refused") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const auto thrown_with = [&](const ReplayOptions& options) {
    return test::thrown_by([&] { Replay(ring, only_p, options); });
  };
  const SamplingOptions wrong[] = {{.temperature = -1.0}, {.temperature = nan}, {.top_k = -1},
                                   {.top_p = 0.0},        {.top_p = 1.1},       {.min_p = -0.1},
                                   {.min_p = 1.5}};
  for (const SamplingOptions& sampling : wrong) {
    CHECK(thrown_with({.sampling = sampling}).code == ErrorCode::InvalidOption);
  }
  for (const double epsilon : {0.0, 1.0, -0.1, 2.0, nan}) {
    const auto thrown = thrown_with({.epsilon = epsilon});
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("epsilon must be in (0, 1)"));
  }
  for (const double rate : {0.0, 0.51, -1.0, nan}) {
    const auto thrown = thrown_with({.false_positive_rate = rate});
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("false_positive_rate"));
  }
  CHECK(thrown_with({.account = 1}).code == ErrorCode::AccountMismatch);
  const std::vector<std::string> none, unknown = {"p", "z"};
  CHECK(test::thrown_by([&] { Replay(ring, none); }).code == ErrorCode::UnknownProfile);
  CHECK(test::thrown_by([&] { Replay(ring, unknown); }).names("\"z\""));
  CHECK(thrown_with({}).message == "");
}

TEST_CASE("Replay: before the first token there is nothing to say") {
  const Replay replay(test::ring_of(test::marked_options(vocab_size)), only_p);
  CHECK(test::thrown_by([&] { (void)replay.detection(); }).code == ErrorCode::EmptyText);
}
