#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <vector>

#include "prf/mix.h"
#include "stats/gamma_tail.h"
#include "stats/nested_tail.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;

Sampler marked_sampler() { return test::sampler_of(test::marked_options(vocab_size)); }

/// All but the first tokens of a response are drawn freely.
Sampler free_sampler() {
  ProfileOptions options = test::marked_options(vocab_size);
  options.free_prefix = 1000;
  return test::sampler_of(options);
}

void observe_all(Sequence& sequence, const test::Tokens& tokens) {
  for (const TokenId token : tokens) REQUIRE(sequence.observe(token) == ErrorCode::Ok);
}

TokenId selected(const Sequence& sequence, const test::Row& row) {
  TokenId token = -1;
  REQUIRE(sequence.select(row, {}, token) == ErrorCode::Ok);
  return token;
}

/// Samples n tokens, of rows that depend on the position.
test::Tokens sample(Sequence& sequence, std::size_t n, const SamplingOptions& options = {}) {
  test::Tokens tokens;
  for (std::size_t i = 0; i < n; ++i) {
    TokenId token = -1;
    const test::Row row = test::random_row(vocab_size, sequence.size());
    REQUIRE(sequence.sample(row, options, token) == ErrorCode::Ok);
    tokens.push_back(token);
  }
  return tokens;
}

bool operator==(const Placement& a, const Placement& b) {
  return a.layer == b.layer && a.k1 == b.k1 && a.k2 == b.k2 && a.a1 == b.a1 && a.a2 == b.a2;
}

/// The placements on the way along `path`.
std::vector<Placement> placements_along(Sequence& sequence, const test::Tokens& path) {
  std::vector<Placement> placements;
  for (const TokenId token : path) {
    placements.push_back(sequence.placement());
    REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  }
  return placements;
}

/// What a kernel that is given the placement draws: the specification's section 6 in full.
TokenId kernel_draw(const Placement& placement, const test::Row& row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double best = HUGE_VAL;
  TokenId token = -1;
  for (std::size_t i = 0; i < row.size(); ++i) {
    std::uint64_t h = prf::mix(placement.k1, placement.k2, std::uint64_t{i} << 32);
    if (placement.layer == Layer::WideAccount) h = prf::mix(placement.a1, placement.a2, h);
    const double key = prf::exponential(h) / std::exp(static_cast<double>(row[i]) - largest);
    if (key < best) {
      best = key;
      token = static_cast<TokenId>(i);
    }
  }
  return token;
}

}  // namespace

TEST_CASE("Sequence: select is pure, whatever was selected or refused before") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  for (std::size_t i = 0; i < 30; ++i) {
    const test::Row row = test::random_row(vocab_size, i);
    const TokenId token = selected(sequence, row);
    CHECK(selected(sequence, row) == token);
    selected(sequence, test::random_row(vocab_size, i + 100));
    sequence.placement();
    TokenId untouched = -1;
    CHECK(sequence.select(test::Row(3, 0.0F), {}, untouched) == ErrorCode::SizeMismatch);
    CHECK(selected(sequence, row) == token);
    CHECK(sequence.size() == i);
    REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  }
}

TEST_CASE("Sequence: observe moves the draw, sample selects and observes") {
  Sequence stepwise = marked_sampler().sequence({.seed = 5});
  Sequence sampled = marked_sampler().sequence({.seed = 5});
  const test::Row row(vocab_size, 0.0F);
  std::size_t changed = 0;
  TokenId before = -1;
  for (std::size_t i = 0; i < 40; ++i) {
    const TokenId token = selected(stepwise, row);
    REQUIRE(stepwise.observe(token) == ErrorCode::Ok);
    TokenId same = -1;
    REQUIRE(sampled.sample(row, {}, same) == ErrorCode::Ok);
    CHECK(same == token);
    changed += token != before;
    before = token;
  }
  CHECK(changed > 30);
  CHECK(std::ranges::equal(stepwise.tokens(), sampled.tokens()));
}

TEST_CASE("Sequence: rolling back equals never having observed, used seeds included") {
  // Two ids: contexts repeat all the time.
  ProfileOptions options = test::marked_options(2);
  options.wide_width = 3;
  const Sampler sampler = test::sampler_of(options);
  const test::Tokens start = test::random_tokens(9, 2, 1);
  const test::Tokens draft = test::random_tokens(12, 2, 2);
  const test::Tokens path = test::random_tokens(40, 2, 3);
  Sequence plain = sampler.sequence({.seed = 5, .response_so_far = start});
  Sequence rolled = sampler.sequence({.seed = 5, .response_so_far = start});
  observe_all(rolled, draft);
  rolled.rollback(5);
  rolled.rollback(draft.size() - 5);
  CHECK(std::ranges::equal(plain.tokens(), rolled.tokens()));
  CHECK(rolled.stats().forced == plain.stats().forced);
  const auto expected = placements_along(plain, path);
  const auto actual = placements_along(rolled, path);
  std::size_t placed = 0, free = 0;
  for (std::size_t i = 0; i < path.size(); ++i) {
    CAPTURE(i);
    CHECK(actual[i] == expected[i]);
    (expected[i].layer == Layer::Free ? free : placed) += 1;
  }
  // The path went through both: unused and used contexts.
  CHECK(placed > 0);
  CHECK(free > 0);
}

TEST_CASE("Sequence: after a rollback marked draws repeat and free draws do not") {
  Sequence marked = marked_sampler().sequence({.seed = 5});
  const test::Tokens head = sample(marked, 8);
  const test::Tokens tokens = sample(marked, 40);
  marked.rollback(40);
  CHECK(sample(marked, 40) == tokens);

  Sequence free = free_sampler().sequence({.seed = 5});
  const test::Tokens first = sample(free, 40);
  free.rollback(40);
  const test::Tokens second = sample(free, 40);
  CHECK(second != first);
  // Nothing taken back is nothing drawn anew.
  const test::Row row = test::random_row(vocab_size, 9);
  const TokenId next = selected(free, row);
  free.rollback(0);
  CHECK(selected(free, row) == next);
  free.rollback(1000);
  CHECK(free.size() == 0);
  CHECK(free.tokens().empty());
  CHECK(free.stats().tokens == 0);
}

TEST_CASE("Sequence: a selection is forgotten by rollback") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  observe_all(sequence, {1, 2, 3, 4, 5, 6});
  const TokenId token = selected(sequence, test::random_row(vocab_size, 1));
  sequence.rollback(1);
  REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  CHECK(sequence.stats().forced == 6);
  CHECK(sequence.stats().marked == 0);
}

TEST_CASE("Sequence: the same seed draws the same, another or none draws otherwise") {
  const Sampler sampler = free_sampler();
  const auto draw = [&](std::optional<std::uint64_t> seed) {
    Sequence sequence = sampler.sequence({.seed = seed});
    return sample(sequence, 40);
  };
  CHECK(draw(5) == draw(5));
  CHECK(draw(5) != draw(6));
  CHECK(draw({}) != draw({}));
}

TEST_CASE("Sequence: the seed never moves the mark") {
  const test::Tokens head = {1, 2, 3, 4};
  const Sampler sampler = marked_sampler();
  Sequence one = sampler.sequence({.seed = 5, .response_so_far = head});
  Sequence two = sampler.sequence({.seed = 6, .response_so_far = head});
  CHECK(sample(one, 60) == sample(two, 60));
}

TEST_CASE("Sequence: a fork has the same past and its own future") {
  Sequence sequence = free_sampler().sequence({.seed = 5});
  sample(sequence, 10);
  Sequence same = sequence.fork(7), equal = sequence.fork(7), other = sequence.fork(8),
           random = sequence.fork();
  CHECK(std::ranges::equal(same.tokens(), sequence.tokens()));
  CHECK(same.stats().free == 10);
  const test::Tokens future = sample(same, 30);
  CHECK(sample(equal, 30) == future);
  CHECK(sample(other, 30) != future);
  CHECK(sample(random, 30) != future);
  CHECK(sequence.size() == 10);
  CHECK(sample(sequence, 30) != future);
  same.rollback(1000);
  CHECK(sequence.size() == 40);

  // Marked positions do not care.
  Sequence marked = marked_sampler().sequence({.seed = 5});
  sample(marked, 10);
  Sequence twin = marked.fork();
  CHECK(sample(marked, 40) == sample(twin, 40));
}

TEST_CASE("Sequence: a fork does not take over what was selected") {
  Sequence sequence = free_sampler().sequence({.seed = 5});
  const TokenId token = selected(sequence, test::random_row(vocab_size, 1));
  Sequence fork = sequence.fork(6);
  REQUIRE(fork.observe(token) == ErrorCode::Ok);
  CHECK(fork.stats().forced == 1);
  REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  CHECK(sequence.stats().free == 1);
}

TEST_CASE("Sequence: a kernel with the placement's keys draws what select draws") {
  for (const std::optional<std::uint64_t> account :
       {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(0),
        std::optional<std::uint64_t>(~std::uint64_t{0})}) {
    ProfileOptions options = test::account_options(vocab_size);
    options.free_prefix = 6;
    options.free_units = 6000;
    Sequence sequence = test::sampler_of(options).sequence({.account = account, .seed = 5});
    std::size_t seen[4] = {};
    for (std::size_t i = 0; i < 200; ++i) {
      CAPTURE(i);
      const Placement placement = sequence.placement();
      const test::Row row = test::random_row(vocab_size, i);
      const TokenId token = selected(sequence, row);
      ++seen[static_cast<std::size_t>(placement.layer)];
      const bool is_free = placement.layer == Layer::Free;
      CHECK((placement.k1 == 0) == is_free);
      CHECK((placement.k2 == 0) == is_free);
      CHECK((placement.a1 != 0) == (placement.layer == Layer::WideAccount));
      CHECK((placement.a2 != 0) == (placement.layer == Layer::WideAccount));
      if (i < 6) CHECK(is_free);
      if (!is_free) CHECK(token == kernel_draw(placement, row));
      REQUIRE(sequence.observe(token) == ErrorCode::Ok);
    }
    CHECK(seen[0] > 6);
    CHECK(seen[1] > 50);
    CHECK(seen[account ? 3 : 2] > 50);
    CHECK(seen[account ? 2 : 3] == 0);
  }
}

TEST_CASE("Sequence: accounts share the narrow layer, not the wide one") {
  const Sampler sampler = test::sampler_of(test::account_options(vocab_size));
  const test::Tokens path = test::random_tokens(200, vocab_size, 1);
  Sequence one = sampler.sequence({.account = 1, .seed = 5});
  Sequence two = sampler.sequence({.account = 2, .seed = 5});
  const auto first = placements_along(one, path), second = placements_along(two, path);
  for (std::size_t i = 0; i < path.size(); ++i) {
    CHECK(first[i].layer == second[i].layer);
    CHECK(first[i].k1 == second[i].k1);
    if (first[i].layer == Layer::WideAccount) CHECK(first[i].a1 != second[i].a1);
  }
}

TEST_CASE("Sequence: an account is refused where the profile has none") {
  const Sampler sampler = marked_sampler();
  const auto thrown = test::thrown_by([&] { sampler.sequence({.account = 1}); });
  CHECK(thrown.code == ErrorCode::AccountMismatch);
  CHECK(thrown.names("\"p\""));
}

TEST_CASE("Sequence: a response so far equals observing it") {
  const Sampler sampler = marked_sampler();
  const test::Tokens so_far = test::random_tokens(30, vocab_size, 1);
  Sequence resumed = sampler.sequence({.seed = 5, .response_so_far = so_far});
  Sequence observed = sampler.sequence({.seed = 5});
  observe_all(observed, so_far);
  CHECK(std::ranges::equal(resumed.tokens(), so_far));
  CHECK(resumed.stats().forced == 30);
  CHECK(sample(resumed, 30) == sample(observed, 30));

  for (const TokenId bad : {-1, 50, std::numeric_limits<TokenId>::max()}) {
    test::Tokens wrong = so_far;
    wrong[17] = bad;
    const auto thrown =
        test::thrown_by([&] { sampler.sequence({.seed = 5, .response_so_far = wrong}); });
    CHECK(thrown.code == ErrorCode::TokenOutOfRange);
    CHECK(thrown.names("[17]"));
    CHECK(thrown.names(std::to_string(bad)));
    CHECK(thrown.names("0..49"));
  }
}

TEST_CASE("Sequence: a token out of range leaves everything as it was") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  sample(sequence, 10);
  const test::Row row = test::random_row(vocab_size, 1);
  const TokenId next = selected(sequence, row);
  for (const TokenId bad : {-1, std::numeric_limits<TokenId>::min(), 50, 51}) {
    CHECK(sequence.observe(bad) == ErrorCode::TokenOutOfRange);
  }
  CHECK(sequence.size() == 10);
  CHECK(selected(sequence, row) == next);
  REQUIRE(sequence.observe(next) == ErrorCode::Ok);
  CHECK(sequence.stats().forced == 0);

  // Without a tokenizer every id of its type goes.
  Sequence any = test::sampler_of(test::marked_options()).sequence();
  CHECK(any.observe(-1) == ErrorCode::TokenOutOfRange);
  CHECK(any.observe(std::numeric_limits<TokenId>::max()) == ErrorCode::Ok);
  CHECK(any.observe(0) == ErrorCode::Ok);
}

TEST_CASE("Sequence: a candidate list is refused by its first fault, and the token left alone") {
  const Sequence sequence =
      marked_sampler().sequence({.seed = 5, .response_so_far = test::Tokens{1, 2, 3, 4, 5}});
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  struct {
    test::Tokens ids;
    std::vector<double> weights;
    ErrorCode code;
  } const cases[] = {
      {{1, 2}, {0.5}, ErrorCode::SizeMismatch},
      {{}, {0.5}, ErrorCode::SizeMismatch},
      {{}, {}, ErrorCode::NoCandidate},
      {{1, 2}, {0.0, 0.0}, ErrorCode::NoCandidate},
      {{1, 2}, {0.5, -0.5}, ErrorCode::InvalidWeights},
      {{1, 2}, {0.5, nan}, ErrorCode::InvalidWeights},
      {{1, 2}, {0.5, inf}, ErrorCode::InvalidWeights},
      {{1, -2}, {0.5, 0.5}, ErrorCode::TokenOutOfRange},
      {{50, 2}, {0.5, 0.5}, ErrorCode::TokenOutOfRange},
      {{2, 2}, {0.5, 0.5}, ErrorCode::DuplicateCandidate},
      {{7, 3, 9, 1, 3}, {1, 1, 1, 1, 1}, ErrorCode::DuplicateCandidate},
      // Padding of weight 0: its ids may be anything, negative zero is zero.
      {{7, -1, -1, 99, 7}, {0.5, 0.0, -0.0, 0.0, 0.0}, ErrorCode::Ok},
      {{7, 3}, {5e-324, 1.7e308}, ErrorCode::Ok},
  };
  for (const auto& c : cases) {
    CAPTURE(c.ids);
    TokenId token = -77;
    CHECK(sequence.select_candidates(c.ids, c.weights, token) == c.code);
    CHECK((token == -77) == (c.code != ErrorCode::Ok));
  }
}

TEST_CASE("Sequence: candidates are drawn alike in any order, at any scale and with padding") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  for (std::size_t i = 0; i < 40; ++i) {
    const test::Row row = test::random_row(vocab_size, i);
    test::Tokens ids;
    std::vector<double> weights;
    for (std::size_t id = 0; id < vocab_size; ++id) {
      ids.push_back(static_cast<TokenId>(id));
      weights.push_back(std::exp(static_cast<double>(row[id])));
    }
    const TokenId expected = selected(sequence, row);
    const auto draw = [&] {
      TokenId token = -1;
      REQUIRE(sequence.select_candidates(ids, weights, token) == ErrorCode::Ok);
      return token;
    };
    CHECK(draw() == expected);
    std::reverse(ids.begin(), ids.end());
    std::reverse(weights.begin(), weights.end());
    CHECK(draw() == expected);
    for (double& weight : weights) weight *= 0x1p-900;
    CHECK(draw() == expected);
    ids.insert(ids.begin() + 20, 5, -1);
    weights.insert(weights.begin() + 20, 5, 0.0);
    CHECK(draw() == expected);
    REQUIRE(sequence.observe(expected) == ErrorCode::Ok);
  }
}

TEST_CASE("Sequence: weights are up to scale, however small") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  const test::Tokens ids = {9, 4, 30, 7};
  const std::vector<double> weights = {0.25, 0.5, 1.0, 0.125};
  for (int i = 0; i < 100; ++i) {
    TokenId expected = -1;
    REQUIRE(sequence.select_candidates(ids, weights, expected) == ErrorCode::Ok);
    for (const int exponent : {-1, -300, -600, -1021, -1071, 1000}) {
      CAPTURE(exponent);
      std::vector<double> scaled;
      for (const double weight : weights) scaled.push_back(std::scalbn(weight, exponent));
      TokenId token = -1;
      REQUIRE(sequence.select_candidates(ids, scaled, token) == ErrorCode::Ok);
      CHECK(token == expected);
    }
    REQUIRE(sequence.observe(expected) == ErrorCode::Ok);
  }
}

TEST_CASE("Sequence: a forced token is counted, not marked") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  const test::Row row = test::random_row(vocab_size, 1);
  const TokenId chosen = selected(sequence, row);
  REQUIRE(sequence.observe(chosen == 0 ? 1 : 0) == ErrorCode::Ok);
  observe_all(sequence, {5, 6, 7});
  const SequenceStats stats = sequence.stats();
  CHECK(stats.tokens == 4);
  CHECK(stats.forced == 4);
  CHECK(stats.marked == 0);
  CHECK(stats.entropy_bits == 0.0);
  CHECK(stats.expected_log10_p == 0.0);
  CHECK_FALSE(stats.is_marked());
}

TEST_CASE("Sequence: temperature 0 and single candidates are greedy, and carry no mark") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  sample(sequence, 20, {.temperature = 0.0});
  sample(sequence, 10, {.top_k = 1});
  for (int i = 0; i < 5; ++i) {
    TokenId token = -1;
    const std::vector<double> weights = {0.0, 0.3};
    REQUIRE(sequence.select_candidates(test::Tokens{3, 4}, weights, token) == ErrorCode::Ok);
    CHECK(token == 4);
    REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  }
  const SequenceStats stats = sequence.stats();
  CHECK(stats.tokens == 35);
  CHECK(stats.greedy == 35);
  CHECK(stats.marked == 0);
  CHECK(stats.entropy_bits == 0.0);
  CHECK(stats.expected_log10_p == 0.0);
  CHECK_FALSE(stats.is_marked());
}

TEST_CASE("Sequence: counts add up, and free positions are those of the specification") {
  ProfileOptions options = test::marked_options(vocab_size);
  options.free_prefix = 10;
  Sequence sequence = test::sampler_of(options).sequence({.seed = 5});
  sample(sequence, 60);
  observe_all(sequence, {1, 2});
  sample(sequence, 3, {.temperature = 0.0});
  const SequenceStats stats = sequence.stats();
  CHECK(stats.tokens == 65);
  CHECK(stats.free == 10);
  CHECK(stats.forced == 2);
  CHECK(stats.greedy == 3);
  CHECK(stats.marked == 50);
  CHECK(stats.is_marked());
  CHECK(stats.entropy_bits > 60.0);
}

TEST_CASE("Sequence: a placement that was handed out counts as marked or free") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  placements_along(sequence, test::random_tokens(30, vocab_size, 1));
  const SequenceStats stats = sequence.stats();
  // The first two have no context; the third and fourth only where they are narrow.
  CHECK(stats.free >= 2);
  CHECK(stats.free <= 4);
  CHECK(stats.marked == 30 - stats.free);
  CHECK(stats.forced == 0);
  CHECK(stats.entropy_bits == 0.0);
  // Handed out once: the next token is forced again.
  observe_all(sequence, {1});
  CHECK(sequence.stats().forced == 1);
}

TEST_CASE("Sequence: entropy and the expected p-value follow from the probabilities") {
  // Two equal tokens: one bit, and a mean score of H(2) = 1.5 where marked.
  for (const std::int64_t prefix : {0, 12}) {
    CAPTURE(prefix);
    ProfileOptions options = test::marked_options(1000);
    options.narrow_width = options.wide_width = 4;
    options.free_prefix = prefix;
    Sequence sequence = test::sampler_of(options).sequence({.seed = 5});
    std::size_t n = 0;
    for (TokenId i = 0; i < 100; ++i) {
      // Distinct pairs of ids, so that no context repeats.
      const test::Tokens ids = {2 * i, 2 * i + 1};
      TokenId token = -1;
      REQUIRE(sequence.select_candidates(ids, std::vector{0.5, 0.5}, token) == ErrorCode::Ok);
      REQUIRE(sequence.observe(token) == ErrorCode::Ok);
      n += i >= 4;
    }
    const SequenceStats stats = sequence.stats();
    CHECK(stats.entropy_bits == doctest::Approx(100.0).epsilon(1e-6));
    CHECK(stats.marked == 100 - static_cast<std::size_t>(std::max<std::int64_t>(prefix, 4)));
    // As a whole response the 8 noise tokens of the prefix fall away; that is paid for.
    const double expected = prefix == 0 ? stats::log10_gamma_tail(96, 1.5 * 96)
                                        : stats::log10_nested_tail(88, 1.5 * 88, 96, 8 + 1.5 * 88);
    CHECK(stats.expected_log10_p == doctest::Approx(expected).epsilon(1e-9));
  }
}

TEST_CASE("Sequence: statistics survive weights at the ends of what a double holds") {
  Sequence sequence = marked_sampler().sequence({.seed = 5});
  observe_all(sequence, {1, 2, 3, 4, 5});
  const double ends[] = {1.7e308, 5e-324, 1e-310, 1.0};
  for (TokenId i = 0; i < 20; ++i) {
    const std::vector<double> weights(3, ends[i / 5]);
    TokenId token = -1;
    REQUIRE(sequence.select_candidates(test::Tokens{i, 20 + i, 49}, weights, token) ==
            ErrorCode::Ok);
    REQUIRE(sequence.observe(token) == ErrorCode::Ok);
  }
  const SequenceStats stats = sequence.stats();
  CHECK(stats.marked == 20);
  CHECK(stats.entropy_bits == doctest::Approx(20.0 * std::log2(3.0)).epsilon(1e-6));
  CHECK(std::isfinite(stats.expected_log10_p));
  CHECK(stats.expected_log10_p < 0.0);
}

TEST_CASE("Sequence: keeps the profile it began with, and outlives its sampler and its ring") {
  std::optional<KeyRing> ring = test::ring_of(test::marked_options(vocab_size));
  std::optional<Sampler> sampler(std::in_place, *ring, "p");
  Sequence sequence = sampler->sequence({.seed = 5});
  Sequence expected = sampler->sequence({.seed = 5});
  const test::Tokens tokens = sample(expected, 40);
  ring->retire("p");
  sampler.reset();
  ring.reset();
  CHECK(sample(sequence, 40) == tokens);
  Sequence moved = std::move(sequence);
  CHECK(moved.size() == 40);
}
