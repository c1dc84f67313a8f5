#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
constexpr std::size_t rows = 6;

/// Sequences of different lengths, which a batch takes by pointer.
struct Batch {
  explicit Batch(const Sampler& sampler) {
    for (std::size_t row = 0; row < rows; ++row) {
      sequences.push_back(sampler.sequence(
          {.seed = row, .response_so_far = test::random_tokens(3 * row, vocab_size, row)}));
    }
    for (Sequence& sequence : sequences) pointers.push_back(&sequence);
  }

  std::vector<test::Tokens> tokens() const {
    std::vector<test::Tokens> all;
    for (const Sequence& sequence : sequences) {
      all.emplace_back(sequence.tokens().begin(), sequence.tokens().end());
    }
    return all;
  }

  std::vector<Sequence> sequences;
  std::vector<Sequence*> pointers;
};

Sampler sampler() { return test::sampler_of(test::marked_options(vocab_size)); }

std::vector<test::Row> random_rows(std::uint64_t seed) {
  std::vector<test::Row> all;
  for (std::size_t row = 0; row < rows; ++row) {
    all.push_back(test::random_row(vocab_size, 100 * seed + row));
  }
  return all;
}

std::vector<Logits> views(const std::vector<test::Row>& all) { return {all.begin(), all.end()}; }

/// Checks that `call` fails so, and that no sequence moved and no output was written.
template <typename Call>
void check_refused(Batch& batch, ErrorCode code, std::size_t row, Call&& call) {
  const auto before = batch.tokens();
  test::Tokens out(batch.pointers.size(), -77);
  const BatchStatus status = call(out);
  CHECK(status.code == code);
  CHECK(status.row == row);
  CHECK_FALSE(status.ok());
  CHECK(batch.tokens() == before);
  CHECK(std::ranges::count(out, -77) == static_cast<std::ptrdiff_t>(out.size()));
  // The next batch goes on as if nothing had been.
  for (Sequence* sequence : batch.pointers) CHECK(sequence->stats().marked == 0);
}

}  // namespace

TEST_CASE("Sampler::sample_batch: equals sampling one by one, in any order of rows") {
  const Sampler shared = sampler();
  Batch batch(shared), reversed(shared), single(shared);
  std::ranges::reverse(reversed.pointers);
  for (std::uint64_t step = 0; step < 20; ++step) {
    std::vector<test::Row> logits = random_rows(step);
    test::Tokens tokens(rows, -1);
    REQUIRE(shared.sample_batch(views(logits), batch.pointers, {.top_k = 30}, tokens).ok());
    for (std::size_t row = 0; row < rows; ++row) {
      TokenId token = -1;
      REQUIRE(single.sequences[row].sample(logits[row], {.top_k = 30}, token) == ErrorCode::Ok);
      CHECK(tokens[row] == token);
    }
    std::ranges::reverse(logits);
    REQUIRE(shared.sample_batch(views(logits), reversed.pointers, {.top_k = 30}, tokens).ok());
  }
  CHECK(batch.tokens() == single.tokens());
  CHECK(batch.tokens() == reversed.tokens());
  for (std::size_t row = 0; row < rows; ++row) {
    CHECK(batch.sequences[row].stats().marked == single.sequences[row].stats().marked);
  }
}

TEST_CASE("Sampler::sample_candidates_batch: equals selecting one by one") {
  const Sampler shared = sampler();
  Batch batch(shared), single(shared);
  constexpr std::size_t width = 5;
  for (std::uint64_t step = 0; step < 20; ++step) {
    test::Tokens ids;
    std::vector<double> weights;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t i = 0; i < width; ++i) {
        ids.push_back(static_cast<TokenId>((7 * row + 9 * i + step) % vocab_size));
        weights.push_back(static_cast<double>(i));
      }
    }
    test::Tokens tokens(rows, -1);
    REQUIRE(shared.sample_candidates_batch(ids, weights, width, batch.pointers, tokens).ok());
    for (std::size_t row = 0; row < rows; ++row) {
      TokenId token = -1;
      REQUIRE(single.sequences[row].select_candidates(
                  std::span(ids).subspan(row * width, width),
                  std::span(weights).subspan(row * width, width), token) == ErrorCode::Ok);
      REQUIRE(single.sequences[row].observe(token) == ErrorCode::Ok);
      CHECK(tokens[row] == token);
    }
  }
  CHECK(batch.tokens() == single.tokens());
}

TEST_CASE("Sampler::observe_batch: equals observing one by one") {
  const Sampler shared = sampler();
  Batch batch(shared), single(shared);
  const test::Tokens tokens = test::random_tokens(rows, vocab_size, 9);
  REQUIRE(shared.observe_batch(batch.pointers, tokens).ok());
  for (std::size_t row = 0; row < rows; ++row) {
    REQUIRE(single.sequences[row].observe(tokens[row]) == ErrorCode::Ok);
  }
  CHECK(batch.tokens() == single.tokens());
}

TEST_CASE("Sampler::sample_batch: the first row at fault is told, and nothing has moved") {
  const Sampler shared = sampler();
  Batch batch(shared);
  for (const std::size_t fault : {std::size_t{0}, rows / 2, rows - 1}) {
    CAPTURE(fault);
    std::vector<test::Row> logits = random_rows(1);
    for (std::size_t row = fault; row < rows; ++row) {
      logits[row][20] = std::numeric_limits<float>::quiet_NaN();
    }
    check_refused(batch, ErrorCode::InvalidLogits, fault, [&](test::Tokens& out) {
      return shared.sample_batch(views(logits), batch.pointers, {}, out);
    });
    logits[fault].assign(vocab_size, -std::numeric_limits<float>::infinity());
    check_refused(batch, ErrorCode::NoCandidate, fault, [&](test::Tokens& out) {
      return shared.sample_batch(views(logits), batch.pointers, {}, out);
    });
    logits[fault].resize(vocab_size - 1);
    check_refused(batch, ErrorCode::SizeMismatch, fault, [&](test::Tokens& out) {
      return shared.sample_batch(views(logits), batch.pointers, {}, out);
    });
    test::Tokens tokens = test::random_tokens(rows, vocab_size, 1);
    tokens[fault] = -1;
    check_refused(batch, ErrorCode::TokenOutOfRange, fault,
                  [&](test::Tokens&) { return shared.observe_batch(batch.pointers, tokens); });
    std::vector<double> weights(3 * rows, 1.0);
    weights[3 * fault + 1] = -1.0;
    test::Tokens ids;
    for (std::size_t row = 0; row < rows; ++row) ids.insert(ids.end(), {4, 9, 2});
    check_refused(batch, ErrorCode::InvalidWeights, fault, [&](test::Tokens& out) {
      return shared.sample_candidates_batch(ids, weights, 3, batch.pointers, out);
    });
  }
  check_refused(batch, ErrorCode::InvalidOption, 0, [&](test::Tokens& out) {
    return shared.sample_batch(views(random_rows(1)), batch.pointers, {.top_p = 2.0}, out);
  });
}

TEST_CASE("Sampler::observe_batch: a refusal forgets no selection") {
  const Sampler shared = sampler();
  Batch batch(shared);
  const test::Row row = test::random_row(vocab_size, 1);
  test::Tokens tokens(rows, -1);
  for (std::size_t i = 0; i < rows; ++i) {
    REQUIRE(batch.sequences[i].select(row, {}, tokens[i]) == ErrorCode::Ok);
  }
  test::Tokens wrong = tokens;
  wrong.back() = -1;
  CHECK(shared.observe_batch(batch.pointers, wrong).code == ErrorCode::TokenOutOfRange);
  REQUIRE(shared.observe_batch(batch.pointers, tokens).ok());
  for (std::size_t i = 0; i < rows; ++i) CHECK(batch.sequences[i].stats().forced == 3 * i);
}

TEST_CASE("Sampler: a sequence that occurs twice in a batch is refused, and may come again later") {
  const Sampler shared = sampler();
  Batch batch(shared);
  const std::vector<test::Row> logits = random_rows(1);
  std::vector<Sequence*> twice = batch.pointers;
  twice[4] = twice[1];
  check_refused(batch, ErrorCode::RepeatedSequence, 4, [&](test::Tokens& out) {
    return shared.sample_batch(views(logits), twice, {}, out);
  });
  check_refused(batch, ErrorCode::RepeatedSequence, 4,
                [&](test::Tokens&) { return shared.observe_batch(twice, test::Tokens(rows, 1)); });
  check_refused(batch, ErrorCode::RepeatedSequence, 4, [&](test::Tokens& out) {
    return shared.sample_candidates_batch(test::Tokens(rows, 1), std::vector<double>(rows, 1.0), 1,
                                          twice, out);
  });
  test::Tokens tokens(rows, -1);
  CHECK(shared.sample_batch(views(logits), batch.pointers, {}, tokens).ok());
}

TEST_CASE("Sampler: lengths that do not match are refused before anything is read") {
  const Sampler shared = sampler();
  Batch batch(shared);
  const std::vector<test::Row> logits = random_rows(1);
  const auto five = views(logits);
  check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens& out) {
    return shared.sample_batch(std::span(five).first(rows - 1), batch.pointers, {}, out);
  });
  check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens& out) {
    return shared.sample_batch(five, batch.pointers, {}, std::span(out).first(rows - 1));
  });
  check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens&) {
    return shared.observe_batch(batch.pointers, test::Tokens(rows + 1, 1));
  });
  const test::Tokens ids(2 * rows, 1);
  const std::vector<double> weights(2 * rows, 1.0);
  for (const std::size_t width : {std::size_t{1}, std::size_t{3}, std::size_t{0}}) {
    check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens& out) {
      return shared.sample_candidates_batch(ids, weights, width, batch.pointers, out);
    });
  }
  check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens& out) {
    return shared.sample_candidates_batch(ids, std::span(weights).first(3), 2, batch.pointers, out);
  });
  // A width whose product with the rows wraps around to the size of the buffers.
  batch.pointers.resize(2);
  check_refused(batch, ErrorCode::SizeMismatch, 0, [&](test::Tokens& out) {
    return shared.sample_candidates_batch({}, {}, std::size_t{1} << 63, batch.pointers, out);
  });
}

TEST_CASE("Sampler: an empty batch is done") {
  const Sampler shared = sampler();
  CHECK(shared.sample_batch({}, {}, {}, {}).ok());
  CHECK(shared.sample_candidates_batch({}, {}, 7, {}, {}).ok());
  CHECK(shared.observe_batch({}, {}).ok());
}

TEST_CASE("Sampler::sample_batch: many threads give what one gives, and the first row at fault") {
  // Enough logits that the other threads are woken.
  constexpr std::size_t many = 64, wide = 2000;
  const KeyRing ring = test::ring_of(test::marked_options(wide));
  std::vector<test::Row> row_of(many);
  for (std::size_t i = 0; i < many; ++i) row_of[i] = test::random_row(wide, i);
  std::vector<std::vector<test::Tokens>> tokens;
  for (const unsigned threads : {1U, 2U, 5U}) {
    CAPTURE(threads);
    const Sampler sampler(ring, "p", {.threads = threads});
    std::vector<Sequence> sequences;
    std::vector<Sequence*> pointers;
    for (std::size_t i = 0; i < many; ++i) sequences.push_back(sampler.sequence({.seed = i}));
    for (Sequence& sequence : sequences) pointers.push_back(&sequence);
    std::vector<TokenId> out(many);
    for (int step = 0; step < 20; ++step) {
      REQUIRE(sampler.sample_batch(views(row_of), pointers, {}, out).ok());
    }
    std::vector<test::Row> bad = row_of;
    for (const std::size_t i : {63, 41, 40, 57}) bad[i][7] = std::numeric_limits<float>::infinity();
    const BatchStatus status = sampler.sample_batch(views(bad), pointers, {}, out);
    CHECK(status.code == ErrorCode::InvalidLogits);
    CHECK(status.row == 40);
    tokens.emplace_back();
    for (const Sequence& sequence : sequences) {
      tokens.back().emplace_back(sequence.tokens().begin(), sequence.tokens().end());
      CHECK(sequence.size() == 20);
    }
    CHECK(tokens.back() == tokens.front());
  }
}
