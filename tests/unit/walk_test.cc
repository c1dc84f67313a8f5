#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "keys/aes.h"
#include "marks/countermark_1.h"
#include "marks/marks.h"
#include "marks/seed_set.h"
#include "marks/text_walk.h"
#include "prf/mix.h"
#include "support.h"

using namespace countermark;
using marks::Countermark1;
using marks::Walk;

namespace {

/// Layers and seeds of a walk over `tokens`.
std::vector<marks::Place> places_of(const Countermark1& mark, const test::Tokens& tokens) {
  Walk walk(mark);
  for (const TokenId token : tokens) REQUIRE(walk.observe(token) == ErrorCode::Ok);
  return {walk.places().begin(), walk.places().end()};
}

bool operator==(const marks::Place& a, const marks::Place& b) {
  return a.layer == b.layer && a.seed == b.seed;
}

}  // namespace

TEST_CASE("Walk: taking tokens back equals never having walked over them, used seeds included") {
  const Countermark1 mark(test::secret(1), {.narrow_width = 1, .wide_width = 2});
  const test::Tokens tokens = test::random_tokens(60, 3, 4);
  const test::Tokens others = test::random_tokens(60, 3, 5);
  for (std::size_t kept = 0; kept <= tokens.size(); kept += 7) {
    CAPTURE(kept);
    Walk walk(mark);
    for (const TokenId token : tokens) REQUIRE(walk.observe(token) == ErrorCode::Ok);
    walk.rollback(tokens.size() - kept);
    CHECK(walk.size() == kept);
    test::Tokens path(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(kept));
    for (const TokenId token : others) {
      REQUIRE(walk.observe(token) == ErrorCode::Ok);
      path.push_back(token);
    }
    const auto expected = places_of(mark, path);
    REQUIRE(walk.places().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(walk.places()[i] == expected[i]);
  }
}

TEST_CASE("Walk: no seed is used twice") {
  const Countermark1 mark(test::secret(1), {.narrow_width = 1, .wide_width = 2});
  std::set<std::pair<std::uint64_t, std::uint64_t>> used;
  std::size_t placed = 0;
  for (const marks::Place& place : places_of(mark, test::random_tokens(500, 4, 6))) {
    if (place.layer == marks::Layer::Free) continue;
    ++placed;
    CHECK(used.emplace(place.seed.k1, place.seed.k2).second);
  }
  // Two narrow contexts at most of the four, and 16 wide ones.
  CHECK(placed > 10);
  CHECK(placed <= 20);
}

TEST_CASE("Walk: rolls back at most everything, and nothing of nothing") {
  const Countermark1 mark(test::secret(1), {});
  Walk walk(mark);
  walk.rollback(5);
  CHECK(walk.size() == 0);
  REQUIRE(walk.observe(3) == ErrorCode::Ok);
  walk.rollback(0);
  CHECK(walk.size() == 1);
  walk.rollback(99);
  CHECK(walk.size() == 0);
  CHECK(walk.tokens().empty());
  CHECK(walk.places().empty());
}

TEST_CASE("Selection: equal keys go to the lowest id, in any order of offers") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double exponential : {0.25, 3.0, infinity}) {
    for (const test::Tokens& order : {test::Tokens{4, 2, 9}, {2, 4, 9}, {9, 4, 2}}) {
      marks::Selection selection;
      for (const TokenId token : order) selection.offer(token, exponential, 0.5);
      CHECK(selection.token() == 2);
    }
  }
  marks::Selection selection;
  selection.offer(1, 0.5, 0.1);  // 5
  selection.offer(8, 0.9, 0.3);  // 3
  selection.offer(3, 0.8, 0.2);  // 4
  CHECK(selection.token() == 8);
}

TEST_CASE("mix: uniforms stay inside (0, 1) and their logarithms finite at every edge") {
  for (const std::uint64_t h : {std::uint64_t{0}, std::uint64_t{1} << 11, std::uint64_t{1} << 63,
                                (std::uint64_t{1} << 63) - 1, ~std::uint64_t{0}}) {
    CAPTURE(h);
    const double u = prf::uniform(h);
    CHECK(u > 0.0);
    CHECK(u < 1.0);
    CHECK(prf::one_minus_uniform(h) == 1.0 - u);
    CHECK(prf::exponential(h) > 0.0);
    CHECK(prf::exponential(h) < 37.0);
    CHECK(prf::score(h) > 0.0);
    CHECK(prf::score(h) == prf::exponential(~h));
  }
}

TEST_CASE("Aes: a copy goes on working when the original is gone, and alike") {
  const keys::Block block = {1, 2, 3, 4};
  keys::Seed expected, seed;
  auto original = std::make_unique<keys::Aes>(test::secret(1));
  REQUIRE(original->encrypt(block, expected));
  keys::Aes copy(*original);
  original.reset();
  REQUIRE(copy.encrypt(block, seed));
  CHECK(seed == expected);
}

TEST_CASE("marks: the table knows countermark/1, and names what there is for what it does not") {
  CHECK(marks::find("countermark/1").name == "countermark/1");
  const auto thrown = test::thrown_by([] { marks::find("countermark/2"); });
  CHECK(thrown.code == ErrorCode::UnknownMark);
  CHECK(thrown.names("countermark/2"));
  CHECK(thrown.names("countermark/1"));
}

TEST_CASE("TextWalk: gives the places of Walk, over texts of every kind and length") {
  const marks::Countermark1Parameters all[] = {
      {},
      {.narrow_width = 1, .wide_width = 2},
      {.narrow_width = 4, .wide_width = 1, .narrow_units = 30000, .free_units = 20000},
      {.narrow_units = 65536},
      {.narrow_units = 0}};
  for (const marks::Countermark1Parameters& parameters : all) {
    CAPTURE(parameters.narrow_width);
    const Countermark1 mark(test::secret(1), parameters);
    for (const std::size_t size : {0, 1, 2, 3, 4, 5, 511, 512, 513, 1500}) {
      // Three ids repeat contexts at once, a thousand hardly do.
      for (const std::uint64_t ids : {3, 1000}) {
        CAPTURE(size);
        const test::Tokens tokens = test::random_tokens(size, ids, size);
        const auto expected = places_of(mark, tokens);
        marks::TextWalk walk(mark, tokens);
        std::vector<marks::Place> places;
        for (auto piece = walk.next(); !piece.empty(); piece = walk.next()) {
          places.insert(places.end(), piece.begin(), piece.end());
        }
        REQUIRE(places.size() == expected.size());
        std::size_t differ = 0;
        for (std::size_t i = 0; i < size; ++i) differ += !(places[i] == expected[i]);
        CHECK(differ == 0);
      }
    }
  }
}

TEST_CASE("SeedSet: is a set, whatever collides and whatever is erased") {
  using Key = std::pair<std::uint64_t, std::uint64_t>;
  std::mt19937_64 random(1);
  marks::SeedSet seeds;
  std::set<Key> expected;
  std::size_t wrong = 0;
  for (std::size_t step = 0; step < 20000; ++step) {
    // Few homes, so that they form long runs; zero is among them.
    const keys::Seed seed = {random() % 24, random() % 16};
    const Key key = {seed.k1, seed.k2};
    wrong += seeds.contains(seed) != expected.contains(key);
    if (step % 3 == 2 && expected.contains(key)) {
      seeds.erase(seed);
      expected.erase(key);
    } else {
      wrong += seeds.insert(seed) != expected.insert(key).second;
    }
    wrong += seeds.size() != expected.size();
  }
  CHECK(wrong == 0);
  CHECK(expected.size() > 100);
}

TEST_CASE("Aes: many blocks at once are the same as one by one") {
  keys::Aes cipher(test::secret(1));
  std::mt19937 random(1);
  for (const std::size_t size : {0, 1, 127, 128, 129, 300}) {
    std::vector<keys::Block> blocks(size);
    for (keys::Block& block : blocks) {
      for (std::uint32_t& word : block) word = static_cast<std::uint32_t>(random());
    }
    std::vector<keys::Seed> seeds(size);
    REQUIRE(cipher.encrypt(blocks, seeds));
    for (std::size_t i = 0; i < size; ++i) {
      keys::Seed seed;
      REQUIRE(cipher.encrypt(blocks[i], seed));
      CHECK(seeds[i] == seed);
    }
  }
}
