#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "embed/candidates.h"
#include "support.h"

using namespace countermark;

namespace {

/// The ids that `options` leave of tokens with these probabilities, ascending.
test::Tokens kept(const std::vector<double>& probabilities, const SamplingOptions& options) {
  test::Row row;
  for (const double p : probabilities) row.push_back(static_cast<float>(std::log(p)));
  embed::Scratch scratch;
  REQUIRE(embed::candidates_from_logits({kernels::active(), row, row.size()}, options, scratch) ==
          ErrorCode::Ok);
  test::Tokens ids;
  for (const embed::Candidate& candidate : scratch.candidates) ids.push_back(candidate.token);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

TEST_CASE("truncation: top-k keeps the k largest and all that tie with the last of them") {
  const std::vector<double> weights = {2, 4, 8, 1, 4};
  CHECK(kept(weights, {.top_k = 0}) == test::Tokens{0, 1, 2, 3, 4});
  CHECK(kept(weights, {.top_k = 1}) == test::Tokens{2});
  CHECK(kept(weights, {.top_k = 2}) == test::Tokens{1, 2, 4});
  CHECK(kept(weights, {.top_k = 3}) == test::Tokens{1, 2, 4});
  CHECK(kept(weights, {.top_k = 4}) == test::Tokens{0, 1, 2, 4});
  CHECK(kept(weights, {.top_k = 5}) == test::Tokens{0, 1, 2, 3, 4});
  CHECK(kept(weights, {.top_k = 6}) == test::Tokens{0, 1, 2, 3, 4});
  CHECK(kept({1, 1, 1}, {.top_k = 1}) == test::Tokens{0, 1, 2});
}

TEST_CASE("truncation: top-p keeps the one that crosses it, ties by the lowest id") {
  // Of 19: 8, then the two 4 by id, 2 and 1.
  const std::vector<double> weights = {2, 4, 8, 1, 4};
  CHECK(kept(weights, {.top_p = 1e-300}) == test::Tokens{2});
  CHECK(kept(weights, {.top_p = 0.42}) == test::Tokens{2});
  CHECK(kept(weights, {.top_p = 0.43}) == test::Tokens{1, 2});
  CHECK(kept(weights, {.top_p = 0.84}) == test::Tokens{1, 2, 4});
  CHECK(kept(weights, {.top_p = 0.85}) == test::Tokens{0, 1, 2, 4});
  CHECK(kept(weights, {.top_p = 0.95}) == test::Tokens{0, 1, 2, 3, 4});
  // Equal weights sum up without rounding: the one that reaches top_p exactly is the last.
  CHECK(kept({1, 1, 1, 1}, {.top_p = 0.25}) == test::Tokens{0});
  CHECK(kept({1, 1, 1, 1}, {.top_p = 0.5}) == test::Tokens{0, 1});
  CHECK(kept({1, 1, 1, 1}, {.top_p = 0.5000001}) == test::Tokens{0, 1, 2});
}

TEST_CASE("truncation: min-p keeps what has its share of the largest, the border included") {
  const std::vector<double> weights = {2, 4, 8, 1, 4};
  CHECK(kept(weights, {.min_p = 0.0}) == test::Tokens{0, 1, 2, 3, 4});
  CHECK(kept(weights, {.min_p = 0.2}) == test::Tokens{0, 1, 2, 4});
  CHECK(kept(weights, {.min_p = 0.3}) == test::Tokens{1, 2, 4});
  CHECK(kept(weights, {.min_p = 0.6}) == test::Tokens{2});
  CHECK(kept({1, 1, 0.9}, {.min_p = 1.0}) == test::Tokens{0, 1});
}

TEST_CASE("truncation: temperature comes first, then top-k, top-p of the rest, then min-p") {
  const std::vector<double> weights = {4, 3, 2, 1};
  // Squared: 16 of 30 is more than half.
  CHECK(kept(weights, {.temperature = 0.5, .top_p = 0.5}) == test::Tokens{0});
  CHECK(kept(weights, {.temperature = 1.0, .top_p = 0.5}) == test::Tokens{0, 1});
  CHECK(kept(weights, {.temperature = 0.5, .min_p = 0.6}) == test::Tokens{0});
  CHECK(kept(weights, {.temperature = 2.0, .min_p = 0.6}) == test::Tokens{0, 1, 2});
  // 4 of 7 reaches a half; 4 of 10 would not.
  CHECK(kept(weights, {.top_k = 2, .top_p = 0.5}) == test::Tokens{0});
  // 4 of 10 does not reach 0.55; after min-p it would, as 4 of 7.
  CHECK(kept(weights, {.top_p = 0.55, .min_p = 0.6}) == test::Tokens{0, 1});
}

TEST_CASE("truncation: what a tiny temperature makes improbable is gone, not an error") {
  CHECK(kept({4, 3, 2, 1}, {.temperature = 1e-300}) == test::Tokens{0});
  CHECK(kept({4, 4, 2, 1}, {.temperature = 5e-324}) == test::Tokens{0, 1});
  CHECK(kept({4, 3, 2, 1}, {.temperature = 1e300, .top_k = 1}) == test::Tokens{0, 1, 2, 3});
}
