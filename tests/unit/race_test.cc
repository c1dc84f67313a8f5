// The fast draws from long rows against the definition: every weight, every hash.
#include "embed/race.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "embed/candidates.h"
#include "kernels/rows.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

marks::TokenHash hash_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  marks::TokenHash hash{{random(), random()}, std::nullopt};
  if (seed % 2 == 1) hash.account = keys::AccountKey{random(), random()};
  return hash;
}

test::Row normal_row(std::size_t size, float spread, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  test::Row row(size);
  for (float& logit : row) logit = normal(random);
  return row;
}

/// The upper halves of floats: a row of bfloat16.
std::vector<std::uint16_t> brain(const test::Row& row) {
  std::vector<std::uint16_t> bits;
  for (const float x : row) {
    bits.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
  }
  return bits;
}

/// By section 6 of the specification, word for word.
TokenId by_definition(const std::vector<embed::Candidate>& candidates,
                      const marks::TokenHash& hash) {
  marks::Selection selection;
  for (const auto& [token, weight] : candidates) {
    selection.offer(token, prf::exponential(hash(token)), weight);
  }
  return selection.token();
}

/// How often race() could not decide.
struct Tally {
  std::size_t won = 0, undecided = 0;
};

void check_race(Logits logits, double temperature, std::uint64_t seed, Tally& tally) {
  const marks::TokenHash hash = hash_of(seed);
  std::vector<embed::Candidate> all;
  const embed::BlockedRow row(kernels::scalar_table, logits, logits.size());
  const ErrorCode code = embed::candidates_by_definition(row, {.temperature = temperature}, all);
  REQUIRE(code == ErrorCode::Ok);
  const TokenId expected = by_definition(all, hash);
  for (const kernels::Table* table : kernels::available()) {
    CAPTURE(table->name);
    CAPTURE(temperature);
    CAPTURE(seed);
    const embed::BlockedRow blocked(*table, logits, logits.size());
    embed::Winner winner;
    REQUIRE(embed::race(blocked, temperature, hash, winner) == ErrorCode::Ok);
    if (!winner.is_decided) {
      ++tally.undecided;
      continue;
    }
    ++tally.won;
    CHECK(winner.token == expected);
    CHECK(winner.is_alone == (all.size() == 1));
  }
}

}  // namespace

TEST_CASE("race: selects what the definition selects, on every instruction set") {
  Tally tally;
  for (const std::size_t size : {1, 127, 128, 129, 1000, 5000, 40000}) {
    for (std::uint64_t seed = 0; seed < (size > 1000 ? 12U : 60U); ++seed) {
      const test::Row row = normal_row(size, 3.0F, seed);
      for (const double temperature : {0.3, 1.0, 2.5}) check_race(row, temperature, seed, tally);
      check_race(Logits::bfloat16(brain(row)), 1.0, seed, tally);
    }
  }
  CHECK(tally.undecided == 0);
}

TEST_CASE("race: rows of every shape select what the definition selects") {
  constexpr std::size_t size = 3000;
  std::vector<test::Row> rows;
  rows.emplace_back(size, 0.0F);               // all equal
  rows.emplace_back(size, -1e30F);             // equal, and far from 0
  rows.push_back(normal_row(size, 30.0F, 1));  // peaked
  rows.push_back(normal_row(size, 1e-6F, 2));  // flat, told apart by the last digits
  test::Row row(size);
  for (std::size_t i = 0; i < size; ++i) row[i] = static_cast<float>(i) * 0.01F;  // rising
  rows.push_back(row);
  for (float& logit : row) logit = -logit;  // falling
  rows.push_back(row);
  row.assign(size, -infinity);  // what a grammar leaves: one, then two, at either end
  row[2999] = 3.0F;
  rows.push_back(row);
  row[0] = 2.0F;
  rows.push_back(row);
  row.assign(size, -800.0F);  // one beside tokens whose weight is 0
  row[1234] = 0.0F;
  rows.push_back(row);
  row[1500] = -700.0F;  // and one whose weight is not, quite
  rows.push_back(row);
  row.assign(size, std::numeric_limits<float>::lowest());
  row[7] = 1.0F;
  rows.push_back(row);
  Tally tally;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const test::Row& each : rows) check_race(each, 1.0, seed, tally);
  }
  // -1e30 is beyond the exponents that are told apart in binary64.
  CHECK(tally.undecided == 20 * kernels::available().size());
}

TEST_CASE("race: temperatures at the ends leave it to the definition, never a wrong token") {
  Tally tally;
  const test::Row row = normal_row(1000, 3.0F, 3);
  for (const double temperature : {5e-324, 1e-300, 1e-9, 1e-4, 1e4, 1e9, 1e300}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) check_race(row, temperature, seed, tally);
  }
  CHECK(tally.won > 0);
  CHECK(tally.undecided > 0);
}

TEST_CASE("race: says what is wrong with a row") {
  for (const kernels::Table* table : kernels::available()) {
    CAPTURE(table->name);
    const auto outcome = [&](const test::Row& row) {
      embed::Winner winner;
      return embed::race({*table, row, row.size()}, 1.0, hash_of(1), winner);
    };
    for (const std::size_t where : {0, 500, 895, 896, 999}) {
      for (const float bad : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
        test::Row row = normal_row(1000, 3.0F, 1);
        row[where] = bad;
        CHECK(outcome(row) == ErrorCode::InvalidLogits);
      }
    }
    CHECK(outcome(test::Row(1000, -infinity)) == ErrorCode::NoCandidate);
  }
}

TEST_CASE("truncation: long rows keep what the definition keeps, on every instruction set") {
  const SamplingOptions all[] = {
      {.top_k = 1},
      {.top_k = 7},
      {.top_k = 50},
      {.top_k = 5000},
      {.top_p = 0.3},
      {.top_p = 0.95},
      {.top_p = 0.9999},
      {.min_p = 0.02},
      {.min_p = 1.0},
      {.temperature = 0.5, .top_k = 40, .top_p = 0.9},
      {.temperature = 2.0, .top_p = 0.8, .min_p = 0.05},
      {.temperature = 1e-5, .top_k = 20},
      {.temperature = 1e5, .top_k = 20},  // weights that tie though their logits differ
      {.temperature = 1e5, .top_p = 0.5},
      {.temperature = 1e17, .top_k = 20},
  };
  std::vector<test::Row> rows;
  for (const float spread : {0.0F, 1e-6F, 1.0F, 3.0F, 20.0F}) {
    rows.push_back(normal_row(20000, spread, static_cast<std::uint64_t>(spread)));
  }
  rows.push_back(rows[3]);
  for (std::size_t i = 0; i < rows[5].size(); ++i) {
    rows[5][i] = i % 7 == 0 ? -infinity : std::round(rows[5][i]);  // many ties
  }
  rows.emplace_back(20000, -infinity);
  rows[6][77] = 2.0F;
  rows[6][19999] = 1.0F;
  const auto by_token = [](const embed::Candidate& a, const embed::Candidate& b) {
    return a.token < b.token;
  };
  for (const SamplingOptions& options : all) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      CAPTURE(r);
      CAPTURE(options.temperature);
      CAPTURE(options.top_k);
      CAPTURE(options.top_p);
      CAPTURE(options.min_p);
      std::vector<embed::Candidate> expected;
      const embed::BlockedRow scalar(kernels::scalar_table, rows[r], rows[r].size());
      REQUIRE(embed::candidates_by_definition(scalar, options, expected) == ErrorCode::Ok);
      std::sort(expected.begin(), expected.end(), by_token);
      for (const kernels::Table* table : kernels::available()) {
        CAPTURE(table->name);
        embed::Scratch scratch;
        REQUIRE(embed::candidates_from_logits({*table, rows[r], rows[r].size()}, options,
                                              scratch) == ErrorCode::Ok);
        auto& actual = scratch.candidates;
        std::sort(actual.begin(), actual.end(), by_token);
        REQUIRE(actual.size() == expected.size());
        std::size_t differ = 0;
        for (std::size_t i = 0; i < actual.size(); ++i) {
          differ += actual[i].token != expected[i].token || actual[i].weight != expected[i].weight;
        }
        CHECK(differ == 0);
      }
    }
  }
}
