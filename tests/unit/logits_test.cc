#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "embed/candidates.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t vocab_size = 50;

/// A sequence at a marked position.
Sequence sequence_at(std::size_t position, std::int64_t ids = vocab_size) {
  const auto used = static_cast<std::uint64_t>(ids > 0 ? ids : 1000);
  const test::Tokens so_far = test::random_tokens(position, used, 1);
  return test::sampler_of(test::marked_options(ids))
      .sequence({.seed = 1, .response_so_far = so_far});
}

/// What select() returns; it must leave the token alone unless it succeeds.
ErrorCode code_of(const Sequence& sequence, Logits logits, const SamplingOptions& options = {}) {
  TokenId token = -77;
  const ErrorCode code = sequence.select(logits, options, token);
  CHECK((token != -77) == (code == ErrorCode::Ok));
  return code;
}

TokenId selected(const Sequence& sequence, Logits logits, const SamplingOptions& options = {}) {
  TokenId token = -1;
  REQUIRE(sequence.select(logits, options, token) == ErrorCode::Ok);
  return token;
}

/// The finite values of IEEE binary16 from 0 up, by their spacing.
std::vector<float> positive_halves() {
  std::vector<float> values = {0.0F};
  for (int bits = 1; bits < 0x7C00; ++bits) {
    const int exponent = (bits - 1) >> 10;
    values.push_back(values.back() + std::ldexp(1.0F, std::max(exponent, 1) - 25));
  }
  return values;
}

/// Whether `row` yields the candidates that its float32 twin, of {value, 0}, does. At a temperature
/// as large as the value its last bit counts.
bool equals_float32(Logits row, float value) {
  const float twin[] = {value, 0.0F};
  SamplingOptions options;
  options.temperature = std::max(std::abs(static_cast<double>(value)), 1e-300);
  embed::Scratch twins, scratch;
  const auto candidates_of = [&](Logits logits, embed::Scratch& room) {
    return embed::candidates_from_logits({kernels::scalar_table, logits, 2}, options, room);
  };
  const auto &expected = twins.candidates, &actual = scratch.candidates;
  if (candidates_of(std::span<const float>(twin), twins) != ErrorCode::Ok ||
      candidates_of(row, scratch) != ErrorCode::Ok || actual.size() != expected.size()) {
    return false;
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (actual[i].token != expected[i].token || actual[i].weight != expected[i].weight) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("Sequence::select: an option out of its range is refused, NaN too") {
  const Sequence sequence = sequence_at(10);
  const test::Row row = test::random_row(vocab_size, 1);
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr double double_nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-0.1, -inf, inf, double_nan}) {
    CHECK(code_of(sequence, row, {.temperature = bad}) == ErrorCode::InvalidOption);
  }
  CHECK(code_of(sequence, row, {.top_k = -1}) == ErrorCode::InvalidOption);
  for (const double bad : {0.0, -0.1, 1.0000001, inf, double_nan}) {
    CHECK(code_of(sequence, row, {.top_p = bad}) == ErrorCode::InvalidOption);
  }
  for (const double bad : {-1e-9, 1.0000001, inf, double_nan}) {
    CHECK(code_of(sequence, row, {.min_p = bad}) == ErrorCode::InvalidOption);
  }
  // Temperature 0 does not excuse the others.
  CHECK(code_of(sequence, row, {.temperature = 0.0, .top_p = 0.0}) == ErrorCode::InvalidOption);
  for (const SamplingOptions& good :
       {SamplingOptions{.temperature = 5e-324}, SamplingOptions{.temperature = 1e308},
        SamplingOptions{.top_k = INT64_MAX}, SamplingOptions{.top_p = 5e-324},
        SamplingOptions{.min_p = 1.0}}) {
    CHECK(code_of(sequence, row, good) == ErrorCode::Ok);
  }
}

TEST_CASE("Sequence::select: NaN and +inf are refused wherever they stand, also at temperature 0") {
  const Sequence sequence = sequence_at(10);
  for (const float bad : {not_a_number, -not_a_number, infinity}) {
    for (const std::size_t where : {std::size_t{0}, vocab_size / 2, vocab_size - 1}) {
      test::Row row = test::random_row(vocab_size, 1);
      row[where] = bad;
      CAPTURE(where);
      CHECK(code_of(sequence, row) == ErrorCode::InvalidLogits);
      CHECK(code_of(sequence, row, {.temperature = 0.0}) == ErrorCode::InvalidLogits);
    }
  }
}

TEST_CASE("Sequence::select: -inf is no candidate, and a row of nothing else has none") {
  const Sequence sequence = sequence_at(10);
  test::Row row(vocab_size, -infinity);
  CHECK(code_of(sequence, row) == ErrorCode::NoCandidate);
  CHECK(code_of(sequence, row, {.temperature = 0.0}) == ErrorCode::NoCandidate);
  row[31] = -1e30F;
  CHECK(selected(sequence, row) == 31);
  row[17] = -1e30F;
  const TokenId token = selected(sequence, row);
  CHECK((token == 17 || token == 31));
}

TEST_CASE("Sequence::select: a row shorter than the vocabulary is refused") {
  const Sequence sequence = sequence_at(10);
  CHECK(code_of(sequence, test::Row(vocab_size - 1, 0.0F)) == ErrorCode::SizeMismatch);
  CHECK(code_of(sequence, test::Row()) == ErrorCode::SizeMismatch);
  CHECK(code_of(sequence_at(10, 0), test::Row()) == ErrorCode::NoCandidate);
}

TEST_CASE("Sequence::select: padding ids never win, and NaN there is not looked at") {
  const Sequence sequence = sequence_at(10);
  const test::Row row = test::random_row(vocab_size, 2);
  const TokenId expected = selected(sequence, row);
  const TokenId largest = selected(sequence, row, {.temperature = 0.0});
  for (const float padding : {100.0F, 3e38F, infinity, not_a_number}) {
    test::Row wide = row;
    wide.resize(vocab_size + 14, padding);
    CHECK(selected(sequence, wide) == expected);
    CHECK(selected(sequence, wide, {.temperature = 0.0}) == largest);
  }
}

TEST_CASE("Sequence::select: without a tokenizer the whole row is candidates") {
  const Sequence sequence = sequence_at(10, 0);
  test::Row row(300, -infinity);
  row[299] = 0.0F;
  CHECK(selected(sequence, row) == 299);
}

TEST_CASE("Sequence::select: temperature 0 takes the largest, the lowest id among equals") {
  const Sequence sequence = sequence_at(10);
  test::Row row(vocab_size, -1.0F);
  row[40] = row[12] = row[33] = 2.5F;
  CHECK(selected(sequence, row, {.temperature = 0.0}) == 12);
  row.assign(vocab_size, -0.0F);
  row[7] = 0.0F;
  CHECK(selected(sequence, row, {.temperature = 0.0}) == 0);
}

TEST_CASE("Sequence::select: a common offset of the logits changes nothing") {
  test::Row row = test::random_row(vocab_size, 3);
  for (float& logit : row) logit = std::round(logit * 1024.0F) / 1024.0F;
  for (std::size_t position = 4; position < 40; ++position) {
    const Sequence sequence = sequence_at(position);
    const TokenId expected = selected(sequence, row);
    for (const float offset : {-1000.0F, 64.0F, 4096.0F}) {
      test::Row moved = row;
      for (float& logit : moved) logit += offset;
      CHECK(selected(sequence, moved) == expected);
    }
  }
}

TEST_CASE("Logits: every finite half is its float32 value") {
  const std::vector<float> halves = positive_halves();
  REQUIRE(halves[0x3C00] == 1.0F);
  REQUIRE(halves[0x7BFF] == 65504.0F);
  REQUIRE(halves[1] == 0x1p-24F);
  std::size_t wrong = 0;
  for (std::size_t bits = 0; bits < halves.size(); ++bits) {
    for (const unsigned sign : {0U, 0x8000U}) {
      const std::uint16_t row[] = {static_cast<std::uint16_t>(bits | sign), 0};
      wrong += !equals_float32(Logits::float16(row), sign != 0 ? -halves[bits] : halves[bits]);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("Logits: every finite bfloat16 is its float32 value") {
  std::size_t wrong = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>((bits >> 7) & 0xFF);
    if (exponent == 0xFF) continue;
    const int fraction = static_cast<int>(bits & 0x7F) + (exponent != 0 ? 0x80 : 0);
    const float magnitude =
        std::ldexp(static_cast<float>(fraction), std::max(exponent, 1) - 127 - 7);
    const std::uint16_t row[] = {static_cast<std::uint16_t>(bits), 0};
    wrong += !equals_float32(Logits::bfloat16(row), bits >= 0x8000 ? -magnitude : magnitude);
  }
  CHECK(wrong == 0);
}

TEST_CASE("Logits: half infinities and NaN count as float32 ones do") {
  const Sequence sequence = sequence_at(10, 2);
  struct {
    std::uint16_t half, brain;
    ErrorCode code;
  } const cases[] = {{0x7C00, 0x7F80, ErrorCode::InvalidLogits},
                     {0x7C01, 0x7F81, ErrorCode::InvalidLogits},
                     {0xFE00, 0xFFC0, ErrorCode::InvalidLogits},
                     {0xFC00, 0xFF80, ErrorCode::Ok},
                     {0x7BFF, 0x7F7F, ErrorCode::Ok}};
  for (const auto& c : cases) {
    CAPTURE(c.half);
    const std::uint16_t half[] = {c.half, 0}, brain[] = {c.brain, 0};
    CHECK(code_of(sequence, Logits::float16(half)) == c.code);
    CHECK(code_of(sequence, Logits::bfloat16(brain)) == c.code);
  }
}

TEST_CASE("Logits: a type that there is not is an invalid option") {
  const test::Row row(vocab_size, 0.0F);
  const Logits logits(row.data(), row.size(), static_cast<Logits::Type>(9));
  CHECK(code_of(sequence_at(10), logits) == ErrorCode::InvalidOption);
}
