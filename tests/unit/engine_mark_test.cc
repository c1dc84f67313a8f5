#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "engines.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 1000;
const test::Tokens prompt = {11, 12, 13, 14, 15};

SequenceOptions after_prompt() { return {.seed = 1, .prompt = prompt}; }

TokenId sample(Sequence& sequence, std::size_t position, double temperature = 1.0) {
  TokenId token = -1;
  const ErrorCode code =
      sequence.sample(test::random_row(vocab_size, position), {.temperature = temperature}, token);
  REQUIRE(code == ErrorCode::Ok);
  return token;
}

ErrorCode refused(std::string_view mark, std::vector<std::uint64_t> key,
                  const std::string& parameters, const std::string& names) {
  KeyRing ring = KeyRing::generate();
  const auto thrown = test::thrown_by(
      [&] { ring.import_engine_key("p", mark, key, {.parameters_json = parameters}); });
  CAPTURE(thrown.message);
  CHECK(thrown.names(names));
  CHECK(ring.profiles().empty());
  return thrown.code;
}

}  // namespace

TEST_CASE("Engine marks: what each one marks it finds, with the engine's own number beside it") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    CAPTURE(std::string(engine.parameters));
    const KeyRing ring = test::engine_ring(engine);
    const test::Tokens tokens =
        test::marked_tokens(Sampler(ring, "p"), 300, vocab_size, after_prompt());
    const Detector detector(ring);
    const Detection found = detector.detect(tokens);
    CHECK(found.verdict == Verdict::Marked);
    CHECK(found.log10_p < -10.0);
    CHECK(found.log10_e > 5.0);
    CHECK(found.scored > 150);
    REQUIRE(found.results[0].engine);
    CHECK_FALSE(found.results[0].engine->remark.empty());
    CHECK(found.results[0].engine->scored > 0);
    // Under another key there is nothing.
    CHECK(Detector(test::engine_ring(engine, 2)).detect(tokens).verdict != Verdict::Marked);
    // Nor in another text.
    const Detection other = detector.detect(test::random_tokens(300, vocab_size, 5));
    CHECK(other.verdict != Verdict::Marked);
    // Decoys have keys of the same form, and none of them fits.
    const DecoyRank rank = detector.rank(tokens, "p", 9);
    CHECK(rank.rank == 1);
    // Its hash is nearly linear: under another key a marked text is not quite independent.
    CHECK((rank.agrees || std::string_view(engine.mark) == "deepmind/synthid-2"));
  }
}

TEST_CASE("Engine marks: rolled back and forked, a response goes on as if nothing had been") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    CAPTURE(std::string(engine.parameters));
    const Sampler sampler(test::engine_ring(engine), "p");
    Sequence sequence = sampler.sequence(after_prompt());
    // Few ids, so that contexts come again.
    for (TokenId i = 0; i < 40; ++i) REQUIRE(sequence.observe(i % 3) == ErrorCode::Ok);
    for (std::size_t i = 40; i < 60; ++i) sample(sequence, i);
    const test::Tokens before(sequence.tokens().begin(), sequence.tokens().end());
    Sequence replayed = sampler.sequence(
        {.seed = 1, .response_so_far = std::span(before).first(50), .prompt = prompt});
    sequence.rollback(10);
    CHECK(sequence.size() == 50);
    CHECK(std::ranges::equal(sequence.tokens(), replayed.tokens()));
    Sequence fork = sequence.fork(7);
    // A candidate alone of its kind is drawn the same by all; the marked ones are where U decides.
    const std::vector<TokenId> ids = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<double> weights(8, 1.0);
    const bool is_selected = std::string_view(engine.mark).find("gumbel-") != std::string::npos ||
                             std::string_view(engine.mark).find("aaronson") != std::string::npos;
    TokenId a = -1, b = -1;
    REQUIRE(sequence.select_candidates(ids, weights, a) == ErrorCode::Ok);
    REQUIRE(fork.select_candidates(ids, weights, b) == ErrorCode::Ok);
    if (is_selected && std::string_view(engine.mark) != "vllm/dual-gumbel-1") CHECK(a == b);
    sequence.rollback(1000);
    CHECK(sequence.size() == 0);
  }
}

TEST_CASE("Engine marks: counts add up, and placements are for our own mark") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    Sequence sequence = Sampler(test::engine_ring(engine), "p").sequence(after_prompt());
    for (std::size_t i = 0; i < 20; ++i) sample(sequence, i);
    REQUIRE(sequence.observe(3) == ErrorCode::Ok);
    const SequenceStats stats = sequence.stats();
    CHECK(stats.tokens == 21);
    CHECK(stats.marked + stats.free + stats.greedy + stats.forced == 21);
    CHECK(stats.marked > 10);
    CHECK(stats.forced == 1);
    CHECK(stats.entropy_bits > 0.0);
    CHECK(sequence.placement().layer == Layer::Free);
  }
}

TEST_CASE("Engine marks: temperature 0 is greedy, and marked by what changes logits or weights") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    Sequence sequence = Sampler(test::engine_ring(engine), "p").sequence(after_prompt());
    std::size_t changed = 0;
    for (std::size_t i = 0; i < 30; ++i) {
      const test::Row row = test::random_row(vocab_size, i);
      const auto likeliest =
          static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin());
      changed += sample(sequence, i, 0.0) != likeliest;
    }
    const std::string_view mark = engine.mark;
    // transformers' processors act where nothing is drawn, too.
    const bool acts = mark.starts_with("hf/") || mark.starts_with("sbw");
    CHECK((changed > 5) == acts);
    CHECK(sequence.stats().marked == (acts ? 30 : 0));
  }
}

TEST_CASE("Engine marks: rows that nothing can be drawn from are refused") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    Sequence sequence = Sampler(test::engine_ring(engine), "p").sequence(after_prompt());
    for (std::size_t i = 0; i < 5; ++i) sample(sequence, i);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      test::Row row = test::random_row(vocab_size, 9);
      row[700] = bad;
      for (const double temperature : {0.0, 1.0}) {
        TokenId token = -5;
        CHECK(sequence.select(row, {.temperature = temperature}, token) ==
              ErrorCode::InvalidLogits);
        CHECK(token == -5);
      }
    }
    const test::Row none(vocab_size, -std::numeric_limits<float>::infinity());
    TokenId token = -5;
    CHECK(sequence.select(none, {}, token) == ErrorCode::NoCandidate);
    // One candidate is taken, whatever the mark.
    test::Row one = none;
    one[17] = 0.0F;
    REQUIRE(sequence.select(one, {}, token) == ErrorCode::Ok);
    CHECK(token == 17);
  }
}

TEST_CASE("Engine marks: texts of any length are examined") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    const Detector detector(test::engine_ring(engine));
    for (const std::size_t n : {1, 2, 3, 4, 5, 6}) {
      const Detection found = detector.detect(test::random_tokens(n, vocab_size, n));
      CHECK(found.token_scores.size() == n);
      CHECK(found.verdict == Verdict::Insufficient);
      CHECK(found.scored <= n);
    }
    CHECK(test::thrown_by([&] { detector.detect(test::Tokens{}); }).code == ErrorCode::EmptyText);
  }
}

TEST_CASE("import_engine_key: saved and opened, the ring finds the same, and tells no key") {
  const test::TemporaryFolder folder;
  KeyRing ring = KeyRing::generate();
  const Profile ours = ring.create_profile("ours");
  for (std::size_t i = 0; i < test::engines().size(); ++i) {
    const test::Engine& engine = test::engines()[i];
    ring.import_engine_key(std::to_string(i), engine.mark, test::engine_key(engine, i),
                           {.parameters_json = engine.parameters});
  }
  ring.save(folder / "ring");
  const KeyRing opened = KeyRing::open(folder / "ring");
  REQUIRE(opened.profiles().size() == test::engines().size() + 1);
  const test::Tokens tokens = test::random_tokens(200, vocab_size, 3);
  const Detection a = Detector(ring).detect(tokens), b = Detector(opened).detect(tokens);
  for (std::size_t i = 0; i < a.results.size(); ++i) {
    CHECK(a.results[i].profile == b.results[i].profile);
    CHECK(a.results[i].log10_p == b.results[i].log10_p);
  }
  for (const Profile& profile : opened.profiles()) {
    CHECK(profile.commitment().empty() == (profile.id() != "ours"));
    CHECK(profile.key_id().size() == 16);
    CHECK(Profile::from_json(profile.to_json()).to_json() == profile.to_json());
  }
  CHECK(opened.profile("ours").commitment() == ours.commitment());
  // Saving a ring without them over it would lose keys.
  CHECK(test::thrown_by([&] { KeyRing::generate().save(folder / "ring"); }).code ==
        ErrorCode::FileFailure);
}

TEST_CASE("import_engine_key: one key has one name, and an id is taken once") {
  KeyRing ring = KeyRing::generate();
  const std::vector<std::uint64_t> key = {42};
  const Profile a = ring.import_engine_key("a", "vllm/gumbel-1", key);
  const Profile b = ring.import_engine_key("b", "vllm/gumbel-0", key);
  const std::vector<std::uint64_t> other_key = {43};
  const Profile c = ring.import_engine_key("c", "vllm/gumbel-1", other_key);
  CHECK(a.key_id() == b.key_id());
  CHECK(a.key_id() != c.key_id());
  CHECK(test::thrown_by([&] {
          ring.import_engine_key("a", "vllm/gumbel-1", key);
        }).names("has a profile \"a\" already"));
  CHECK_FALSE(ring.retire("a").is_active());
  CHECK(test::thrown_by([&] { Sampler(ring, "a"); }).code == ErrorCode::RetiredProfile);
}

TEST_CASE("import_engine_key: what does not fit the contract is refused by name") {
  using enum ErrorCode;
  CHECK(refused("vllm/gumbel-9", {1}, "{}", "unknown mark") == UnknownMark);
  CHECK(refused("countermark/1", {1, 2, 3, 4}, "{}", "import_secret") == InvalidOption);
  CHECK(refused("vllm/gumbel-1", {}, "{}", "1 to 512 numbers") == InvalidKey);
  CHECK(refused("vllm/gumbel-1", {1, 2}, "{}", "is 1 x 64 bits, got 128") == InvalidKey);
  CHECK(refused("sglang/aaronson-dual-1", {1}, "{}", "is 2 x 64 bits, got 64") == InvalidKey);
  CHECK(refused("vllm/gumbel-1", {1}, "[]", "object") == InvalidProfile);
  CHECK(refused("vllm/gumbel-1", {1}, "{", "not valid JSON") == InvalidOption);
  CHECK(refused("vllm/gumbel-1", {1}, R"({"context_width": 0})", "context_width") == InvalidOption);
  CHECK(refused("vllm/gumbel-1", {1}, R"({"context_width": "4"})", "integer") == InvalidProfile);
  CHECK(refused("vllm/gumbel-1", {1}, R"({"deduplicate_contexts": "some"})", "single_turn") ==
        InvalidOption);
  CHECK(refused("vllm/gumbel-1", {1}, R"({"padding": 0})", "padding is -1") == InvalidOption);
  CHECK(refused("vllm/dual-gumbel-1", {1}, R"({"alpha": 1.5})", "alpha") == InvalidOption);
  CHECK(refused("vllm/gumbel-1", {1}, R"({"alpha": 0.1})", "has no parameter alpha") ==
        InvalidOption);
  CHECK(refused("meta/textseal-1", {1, 2}, "{}", "is 1 x 64 bits") == InvalidKey);
  CHECK(refused("hf/kgw-lefthash-1", {~0ULL}, R"({"vocab_size": 9})", "1..2^63-1") == InvalidKey);
  CHECK(refused("vllm/dual-gumbel-1", {1}, R"({"alpha": "x"})", "number") == InvalidProfile);
  CHECK(refused("hf/synthid-1", {1}, R"({"sampling_table_size": 1000})", "power of two") ==
        InvalidOption);
  CHECK(refused("hf/synthid-1", {1}, R"({"skip_first_ngram_calls": 1})", "true or false") ==
        InvalidProfile);
  CHECK(refused("hf/kgw-lefthash-1", {1}, "{}", "needs the parameter vocab_size") == InvalidOption);
  CHECK(refused("hf/kgw-lefthash-1", {1}, R"({"vocab_size": 2, "greenlist_ratio": 0.1})",
                "leaves no green one") == InvalidOption);
  CHECK(refused("sbw/selfhash-1", {1}, R"({"generator": "randperm"})", "vocab_size") ==
        InvalidOption);
  CHECK(refused("sbw/selfhash-1", {1}, R"({"context_width": 5})", "context_width is 4") ==
        InvalidOption);
  KeyRing ring = KeyRing::generate();
  ProfileOptions options;
  options.mark = "vllm/gumbel-1";
  CHECK(test::thrown_by([&] { ring.create_profile("x", options); }).names("import_engine_key"));
}

TEST_CASE("Engine marks: a prompt that is known lets its first tokens be scored") {
  const test::Engine engine = {"sglang/aaronson-1", 1};
  const KeyRing ring = test::engine_ring(engine);
  const test::Tokens tokens =
      test::marked_tokens(Sampler(ring, "p"), 50, vocab_size, after_prompt());
  const Detector detector(ring);
  CHECK(detector.detect(tokens, Start::Unknown).scored == 46);
  CHECK(detector.detect(tokens, Start::Unknown, prompt).scored == 50);
  const test::Tokens nothing;
  CHECK(detector.detect(tokens, Start::Unknown, nothing).scored == 49);
  // With the wrong prompt the first tokens say nothing.
  const test::Tokens wrong = {1, 2, 3, 4};
  CHECK(detector.detect(tokens, Start::Unknown, wrong).log10_p >
        detector.detect(tokens, Start::Unknown, prompt).log10_p);
}

TEST_CASE("Engine marks: a replay, which is for our own mark, says so") {
  const KeyRing ring = test::engine_ring({"vllm/gumbel-1", 1});
  const std::vector<std::string> ids = {"p"};
  const auto thrown = test::thrown_by([&] { Replay(ring, ids); });
  CHECK(thrown.code == ErrorCode::InvalidOption);
  CHECK(thrown.names("countermark/1"));
}

TEST_CASE("identify: the contract that an engine followed comes first") {
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    CAPTURE(std::string(engine.parameters));
    const std::vector<std::uint64_t> key = test::engine_key(engine, 1);
    const test::Tokens tokens = test::marked_tokens(Sampler(test::engine_ring(engine), "p"), 300,
                                                    vocab_size, after_prompt());
    const EngineText text = {tokens};
    const std::vector<ContractFit> fits =
        identify(std::span(&text, 1), key, {.vocab_size = vocab_size});
    CAPTURE(fits.front().mark);
    CAPTURE(fits.front().log10_p);
    REQUIRE(fits.front().fits);
    CHECK(std::is_sorted(fits.begin(), fits.end(),
                         [](const auto& a, const auto& b) { return a.log10_p < b.log10_p; }));
    const auto right = std::find_if(fits.begin(), fits.end(),
                                    [&](const auto& f) { return f.mark == engine.mark; });
    CHECK(right->fits);
    // What is equal or next to equal may come before it: the two left hashes, TextSeal's revisions.
    CHECK(right - fits.begin() < 3);
    // The parameters are what a profile needs.
    KeyRing ring = KeyRing::generate();
    ring.import_engine_key("found", right->mark, std::span(key).first(right->key_words),
                           {.parameters_json = right->parameters_json});
    CHECK(Detector(ring).detect(tokens).verdict == Verdict::Marked);
  }
}

TEST_CASE("identify: no contract fits other texts, and texts that are given twice count once") {
  const std::vector<std::uint64_t> key = {42};
  const test::Tokens tokens = test::random_tokens(400, vocab_size, 1);
  const std::vector<EngineText> texts = {{tokens}, {tokens}};
  const auto once = identify(std::span(texts).first(1), key, {.vocab_size = vocab_size});
  const auto twice = identify(texts, key, {.vocab_size = vocab_size});
  REQUIRE(once.size() == twice.size());
  CHECK(once.size() > 60);
  for (std::size_t i = 0; i < once.size(); ++i) {
    CHECK_FALSE(once[i].fits);
    CHECK(once[i].log10_p == twice[i].log10_p);
    CHECK(once[i].scored == twice[i].scored);
  }
}

TEST_CASE("identify: bad input is refused by name") {
  const std::vector<std::uint64_t> key = {42};
  const test::Tokens tokens = {1, 2, -3};
  const EngineText text = {tokens};
  CHECK(
      test::thrown_by([&] { identify(std::span(&text, 1), key); }).names("text 0: token 2 is -3"));
  const EngineText empty = {};
  CHECK(test::thrown_by([&] { identify(std::span(&empty, 1), key); }).code == ErrorCode::EmptyText);
  CHECK(test::thrown_by([&] { identify({}, key); }).code == ErrorCode::EmptyText);
  const test::Tokens good = {1, 2, 3};
  const EngineText fine = {good};
  CHECK(test::thrown_by([&] { identify(std::span(&fine, 1), {}); }).code == ErrorCode::InvalidKey);
  CHECK(test::thrown_by([&] {
          identify(std::span(&fine, 1), key, {.vocab_size = 1});
        }).names("vocab_size"));
  CHECK(test::thrown_by([&] {
          identify(std::span(&fine, 1), key, {.false_positive_rate = 0.9});
        }).names("false_positive_rate"));
}

TEST_CASE("Engine marks: a weight at the end of what a double holds is drawn from as any other") {
  const std::vector<TokenId> ids = {1, 2};
  for (const test::Engine& engine : test::engines()) {
    CAPTURE(std::string(engine.mark));
    for (const double weight : {1e308, 1.0, 5e-324}) {
      Sequence sequence = Sampler(test::engine_ring(engine), "p").sequence(after_prompt());
      const std::vector<double> weights(2, weight);
      TokenId token = -1;
      REQUIRE(sequence.select_candidates(ids, weights, token) == ErrorCode::Ok);
      CHECK((token == 1 || token == 2));
      REQUIRE(sequence.observe(token) == ErrorCode::Ok);
      CHECK(std::isfinite(sequence.stats().entropy_bits));
    }
  }
}

TEST_CASE("Engine marks: equal numbers in a key are refused where they would count twice") {
  CHECK(refused("deepmind/synthid-2", {1, 2, 1}, "{}", "numbers 0 and 2 of the key are equal") ==
        ErrorCode::InvalidKey);
  CHECK(refused("meta/textseal-2", {5, 5}, "{}", "numbers 0 and 1") == ErrorCode::InvalidKey);
}

TEST_CASE("Engine marks: lists that no key has made are not scored") {
  // The left hash of token 0 is 0 under every key.
  test::Tokens tokens;
  for (TokenId i = 1; i < 60; ++i) {
    tokens.push_back(0);
    tokens.push_back(i);
  }
  for (const test::Engine& engine : test::engines()) {
    const std::string_view mark = engine.mark;
    if (mark != "hf/kgw-lefthash-1" && mark != "sbw/lefthash-1") continue;
    const Detection found = Detector(test::engine_ring(engine)).detect(tokens, Start::Unknown);
    CHECK(found.scored == 58);  // those after a token that is not 0
  }
}

TEST_CASE("Engine marks: have no accounts, whatever a profile's file says") {
  const Profile profile = test::engine_ring({"vllm/gumbel-1", 1}).profile("p");
  std::string json = profile.to_json();
  json.insert(json.find("\"context_width\""), "\"accounts\":true,");
  CHECK_FALSE(Profile::from_json(json).has_accounts());
}

TEST_CASE("Engine marks: a prompt that the profile cannot have is refused") {
  const Detector detector(test::engine_ring({"sglang/aaronson-1", 1}));
  const test::Tokens tokens = {1, 2, 3}, bad = {1, -5};
  CHECK(test::thrown_by([&] {
          detector.detect(tokens, Start::Both, bad);
        }).names("token 1 of the prompt is -5"));
}

TEST_CASE("identify: leaves out contracts that cannot have the key") {
  const test::Tokens tokens = test::random_tokens(50, vocab_size, 1);
  const EngineText text = {tokens};
  const std::vector<std::uint64_t> large = {~0ULL}, many(100, 7);
  for (const auto& key : {large, many}) {
    for (const std::int64_t vocab : {2, 1000, 2'000'000'000}) {
      const auto fits = identify(std::span(&text, 1), key, {.vocab_size = vocab});
      CHECK(fits.size() > 20);
      CHECK_FALSE(fits.front().fits);
    }
  }
}
