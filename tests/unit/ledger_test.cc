#include "countermark/ledger.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ledger/bloom_filter.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;

ProfileOptions options(std::int64_t free_prefix = 0) {
  ProfileOptions options = test::marked_options(vocab_size);
  options.narrow_units = 40000;
  options.free_prefix = free_prefix;
  return options;
}

/// What the samplers wrote, and what the logs say.
std::string file_of(const Ledger& ledger) {
  const test::TemporaryFolder folder;
  ledger.save(folder / "ledger");
  return test::read_text(folder / "ledger");
}

Sampler recording(const KeyRing& ring, const Ledger& ledger) {
  return Sampler(ring, "p", {.ledger = ledger});
}

}  // namespace

TEST_CASE("BloomFilter: knows its elements, and takes few others for them") {
  constexpr std::size_t words = 5000, elements = 4 * words;
  ledger::BloomFilter filter(words);
  std::mt19937_64 random(1);
  CHECK(filter.elements() == 0.0);
  CHECK(filter.false_positive_rate() == 0.0);
  std::vector<std::uint64_t> added(elements);
  for (std::uint64_t& hash : added) filter.add(hash = random());
  for (const std::uint64_t hash : added) REQUIRE(filter.contains(hash));
  CHECK(filter.elements() == doctest::Approx(elements).epsilon(0.02));
  constexpr int others = 200'000;
  int taken = 0;
  for (int i = 0; i < others; ++i) taken += filter.contains(random());
  CHECK(filter.false_positive_rate() == doctest::Approx(1.0 * taken / others).epsilon(0.1));
  CHECK(filter.false_positive_rate() < 0.01);
}

TEST_CASE("BloomFilter: a full one says so") {
  ledger::BloomFilter filter(1);
  filter.merge(0, ~std::uint64_t{0});
  CHECK(filter.false_positive_rate() == 1.0);
  CHECK(std::isfinite(filter.elements()));
}

TEST_CASE("Ledger: a sampler records where its responses were marked, as their logs say") {
  const KeyRing ring = test::ring_of(options(10));
  const Ledger written(ring, "p", {.contexts = 5000});
  Ledger told(ring, "p", {.contexts = 5000});
  std::size_t marked = 0;
  {
    const Sampler sampler = recording(ring, written);
    for (std::uint64_t n = 0; n < 5; ++n) {
      told.add_response(test::marked_tokens(sampler, 100, vocab_size, {.seed = n}));
      marked += 90;
    }
  }
  // The logs do not say whether there was a draw at their ends.
  Ledger both(ring, "p", {.contexts = 5000});
  both.merge(told);
  both.merge(written);
  CHECK(file_of(both) == file_of(told));
  CHECK(told.contexts() >= written.contexts());
  CHECK(told.contexts() < written.contexts() + 6.0);
  // The narrow ones of them, some of them repeated.
  CHECK(written.contexts() < 0.75 * static_cast<double>(marked));
  CHECK(written.contexts() > 0.4 * static_cast<double>(marked));
  const test::Tokens text = test::random_tokens(100, vocab_size, 3);
  std::size_t known = 0;
  for (std::size_t i = 10; i < text.size(); ++i) known += told.contains(std::span(text).first(i));
  CHECK(known < 20);
  told.add_response(text);
  std::size_t known_then = 0;
  for (std::size_t i = 10; i < text.size(); ++i) {
    known_then += told.contains(std::span(text).first(i));
  }
  CHECK(known_then > known + 30);
  CHECK(known_then < 80);
}

TEST_CASE("Ledger: a draw is recorded whatever becomes of it, and what was no draw is not") {
  ProfileOptions all_narrow = test::marked_options(vocab_size);
  all_narrow.narrow_units = 65536;
  const KeyRing ring = test::ring_of(all_narrow);
  const Ledger ledger(ring, "p", {.contexts = 1000});
  const Sampler sampler = recording(ring, ledger);
  const test::Row row(vocab_size, 0.0F);
  TokenId token = 0;
  const auto holds = [&](TokenId first, TokenId second) {
    const TokenId context[] = {first, second};
    return ledger.contains(context);
  };
  {
    Sequence sequence = sampler.sequence({.response_so_far = std::vector<TokenId>{1, 2, 3, 4}});
    REQUIRE(sequence.observe(5) == ErrorCode::Ok);
    REQUIRE(sequence.sample(row, {.temperature = 0.0}, token) == ErrorCode::Ok);
    const TokenId greedy = token;
    REQUIRE(sequence.sample(row, {}, token) == ErrorCode::Ok);
    const TokenId taken_back = token;
    REQUIRE(sequence.sample(row, {}, token) == ErrorCode::Ok);
    CHECK(ledger.contexts() == 0.0);
    sequence.rollback(2);
    CHECK(holds(5, greedy));
    CHECK(holds(greedy, taken_back));
    CHECK(ledger.contexts() == doctest::Approx(2.0).epsilon(0.1));
    REQUIRE(sequence.observe(7) == ErrorCode::Ok);
  }
  // Neither what went before nor what was forced.
  CHECK(ledger.contexts() == doctest::Approx(2.0).epsilon(0.1));
  CHECK_FALSE(holds(1, 2));
  CHECK_FALSE(holds(4, 5));
  {
    Sequence sequence = sampler.sequence({.response_so_far = std::vector<TokenId>{1, 2}});
    REQUIRE(sequence.sample(row, {}, token) == ErrorCode::Ok);
    const Sequence fork = sequence.fork();
  }
  CHECK(holds(1, 2));
  CHECK_FALSE(holds(2, 1));
  const TokenId longer[] = {9, 9, 1, 2}, one[] = {1};
  CHECK(ledger.contains(longer));
  CHECK(test::thrown_by([&] { (void)ledger.contains(one); }).code == ErrorCode::SizeMismatch);
  {
    // The mark chose an end that nobody observed; another token was put in its place; a kernel drew
    // elsewhere, from the placement.
    Sequence ended = sampler.sequence({.response_so_far = std::vector<TokenId>{10, 11}});
    REQUIRE(ended.select(row, {}, token) == ErrorCode::Ok);
    Sequence overridden = sampler.sequence({.response_so_far = std::vector<TokenId>{12, 13}});
    REQUIRE(overridden.select(row, {}, token) == ErrorCode::Ok);
    REQUIRE(overridden.observe((token + 1) % 50) == ErrorCode::Ok);
    Sequence placed = sampler.sequence({.response_so_far = std::vector<TokenId>{7, 8}});
    (void)placed.placement();
    REQUIRE(placed.observe(1) == ErrorCode::Ok);
  }
  CHECK(holds(10, 11));
  CHECK(holds(12, 13));
  CHECK(holds(7, 8));
}

TEST_CASE("Ledger: files of several servers merge") {
  const KeyRing ring = test::ring_of(options());
  const test::TemporaryFolder folder;
  Ledger both(ring, "p", {.contexts = 3000}), first(ring, "p", {.contexts = 3000}),
      second(ring, "p", {.contexts = 3000});
  for (std::uint64_t n = 0; n < 10; ++n) {
    const test::Tokens text = test::random_tokens(200, vocab_size, n);
    both.add_response(text);
    (n % 2 == 0 ? first : second).add_response(text);
  }
  first.save(folder / "first");
  struct stat status = {};
  REQUIRE(::stat((folder / "first").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(std::filesystem::file_size(folder / "first") == 4096 + first.bytes());
  CHECK(first.bytes() == 2 * 3000);
  Ledger merged = Ledger::open(ring, "p", folder / "first");
  CHECK(file_of(merged) == file_of(first));
  merged.merge(second);
  CHECK(file_of(merged) == file_of(both));
  CHECK(merged.contexts() == both.contexts());
}

TEST_CASE("Ledger: what does not fit is refused, and named") {
  KeyRing ring = test::ring_of(options());
  ProfileOptions wide;
  wide.purpose = Purpose::Provenance;
  ring.import_secret("wide", test::secret_bytes(2), wide);
  ProfileOptions wider = options();
  wider.narrow_width = 3;
  ring.import_secret("three", test::secret_bytes(1), wider);
  ring.import_secret("other", test::secret_bytes(3), options());
  const std::uint64_t engine_key[] = {42};
  ring.import_engine_key("engine", "vllm/gumbel-1", engine_key);
  const auto refusal = [&](const char* id, std::size_t contexts) {
    return test::thrown_by([&] { Ledger(ring, id, {.contexts = contexts}); });
  };
  CHECK(refusal("nobody", 1).code == ErrorCode::UnknownProfile);
  CHECK(refusal("engine", 1).code == ErrorCode::UnknownMark);
  CHECK(refusal("wide", 1).names("no narrow layer"));
  CHECK(refusal("p", 0).names("contexts must be in 1..100000000000"));

  Ledger ledger(ring, "p", {.contexts = 1000});
  const Ledger larger(ring, "p", {.contexts = 2000}), three(ring, "three", {.contexts = 1000}),
      other(ring, "other", {.contexts = 1000});
  CHECK(test::thrown_by([&] { ledger.merge(larger); }).names("a ledger of 4000 bytes"));
  CHECK(test::thrown_by([&] { ledger.merge(three); }).names("narrow_width 3"));
  CHECK(test::thrown_by([&] { ledger.merge(other); }).code == ErrorCode::InvalidLedger);
  for (const Ledger& wrong : {three, other}) {
    CHECK(test::thrown_by([&] { recording(ring, wrong); }).code == ErrorCode::InvalidLedger);
    CHECK(test::thrown_by([&] { DistillationTest(ring, "p", {.ledger = wrong}); }).code ==
          ErrorCode::InvalidLedger);
  }
  CHECK(test::thrown_by([&] { Sampler(ring, "engine", {.ledger = ledger}); }).code ==
        ErrorCode::InvalidLedger);
  const TokenId bad[] = {1, 2, 50};
  CHECK(test::thrown_by([&] { ledger.add_response(bad); }).names("tokens[2] is 50"));

  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder / "ledger";
  ledger.save(path);
  const std::string whole = test::read_text(path);
  const auto opened = [&](const char* id, const std::string& text) {
    test::write_private(path, text);
    return test::thrown_by([&] { Ledger::open(ring, id, path); });
  };
  CHECK(opened("p", whole).code == ErrorCode::Ok);
  CHECK(opened("other", whole).names("is for key"));
  CHECK(opened("three", whole).names("holds contexts of 2 tokens"));
  CHECK(opened("p", whole.substr(0, 100)).names("header is not whole"));
  CHECK(opened("p", whole.substr(0, whole.size() - 1)).names("it is truncated"));
  CHECK(opened("p", whole + "x").names("has 6097 bytes"));
  CHECK(opened("p", std::string(5000, '{')).code == ErrorCode::InvalidLedger);
  std::string newer = whole;
  newer.replace(newer.find("ledger/1"), 8, "ledger/2");
  CHECK(opened("p", newer).code == ErrorCode::UnsupportedFormat);
  for (const char* words : {"0", "-5", "1.5", "\"\"", "1e30"}) {
    std::string edited = whole;
    const std::size_t at = edited.find("\"words\":250");
    edited.replace(at, 11, "\"words\":" + std::string(words));
    CHECK(opened("p", edited).code == ErrorCode::InvalidLedger);
  }
  CHECK(test::thrown_by([&] { Ledger::open(ring, "p", folder / "none"); }).code ==
        ErrorCode::FileFailure);
}

TEST_CASE("Ledger: threads write it at once") {
  const KeyRing ring = test::ring_of(options());
  const Ledger ledger(ring, "p", {.contexts = 2000});
  const Ledger alone(ring, "p", {.contexts = 2000});
  {
    const Sampler sampler = recording(ring, ledger);
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 4; ++n) {
      threads.emplace_back([&sampler, n] {
        for (std::uint64_t k = 0; k < 5; ++k) {
          (void)test::marked_tokens(sampler, 50, vocab_size, {.seed = 5 * n + k});
        }
      });
    }
    (void)file_of(ledger);
    for (std::thread& thread : threads) thread.join();
    const Sampler other = recording(ring, alone);
    for (std::uint64_t n = 0; n < 20; ++n) {
      (void)test::marked_tokens(other, 50, vocab_size, {.seed = n});
    }
  }
  CHECK(file_of(ledger) == file_of(alone));
}
