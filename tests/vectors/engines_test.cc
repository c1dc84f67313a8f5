// Golden vectors: the contracts of other engines, from implementations that are not ours. A failure
// here means that texts which those engines marked are lost. Do not edit the numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "countermark/countermark.h"
#include "marks/engine_mark.h"
#include "marks/marks.h"
#include "prf/jenkins.h"
#include "prf/murmur3.h"
#include "prf/philox.h"
#include "prf/textseal_hash.h"
#include "prf/torch_permutation.h"
#include "profiles/profile_impl.h"
#include "stats/sum_null.h"
#include "support.h"

using namespace countermark;
using base::Json;

namespace {

using Words = std::vector<std::uint64_t>;

/// Read once, and kept.
const Json& read(const std::string& name) {
  static std::map<std::string, Json> known;
  const auto [found, is_new] = known.try_emplace(name);
  if (is_new) {
    const std::string path = std::string(COUNTERMARK_VECTORS_FOLDER) + "/" + name + ".json";
    found->second = base::parse_json(test::read_text(path), ErrorCode::FileFailure, path);
  }
  return found->second;
}

/// The field, which must hold something: an empty list would be skipped in silence.
const Json& list(const Json& json, const char* name) {
  const Json& field = json.at(name);
  REQUIRE(field.is_array());
  REQUIRE_FALSE(field.empty());
  return field;
}

std::uint64_t number(const Json& json) {
  return json.is_string() ? static_cast<std::uint64_t>(std::stoull(json.get<std::string>()))
                          : json.get<std::uint64_t>();
}
std::uint64_t signed_number(const Json& json) {
  return json.is_string() ? static_cast<std::uint64_t>(std::stoll(json.get<std::string>()))
                          : static_cast<std::uint64_t>(json.get<std::int64_t>());
}
std::uint64_t hex_number(const Json& json) {
  return std::stoull(json.get<std::string>(), nullptr, 16);
}

/// A double as its bits say.
double exact(const Json& json) { return std::stod(json.get<std::string>()); }

test::Tokens tokens_of(const Json& json) { return json.get<test::Tokens>(); }

std::shared_ptr<const marks::EngineMark> mark_of(std::string_view mark, const Words& key,
                                                 Json parameters) {
  const auto& entry = marks::find(mark);
  marks::Parameters reader(parameters);
  return entry.make(marks::key_of(key), reader);
}

Detection detect(std::string_view mark, const Words& key, const Json& parameters,
                 const test::Tokens& tokens, std::optional<std::span<const TokenId>> prompt = {}) {
  KeyRing ring = KeyRing::generate();
  ring.import_engine_key("p", mark, key, {.parameters_json = parameters.dump()});
  return Detector(ring).detect(tokens, Start::Unknown, prompt);
}

/// Relative, of p-values in log10.
bool is_close(double log10_p, double expected) {
  return std::abs(log10_p - expected) <= 1e-9 * std::max(1.0, std::abs(expected)) / std::log(10.0);
}
double log10_of(const Json& natural) { return natural.get<double>() / std::log(10.0); }

/// The made-up logits of the vectors: every implementation can compute them.
struct Fixture {
  std::int64_t a, b, c, vocab, dominant;
  double bias;

  explicit Fixture(const Json& json)
      : a(json.at("a")),
        b(json.at("b")),
        c(json.at("c")),
        vocab(json.at("vocab")),
        dominant(json.at("dominant").is_null() ? -1 : json.at("dominant").get<std::int64_t>()),
        bias(json.at("bias")) {}

  std::vector<marks::Candidate> candidates(std::size_t position) const {
    std::vector<marks::Candidate> some;
    for (std::int64_t t = 0; t < vocab; ++t) {
      const std::int64_t step = (t * a + static_cast<std::int64_t>(position) * b + c) % 127;
      const double logit = static_cast<double>(step - 60) / 16.0 + (t == dominant ? bias : 0.0);
      some.push_back({static_cast<TokenId>(t), std::exp(logit)});
    }
    return some;
  }
};

TokenId likeliest(std::span<const marks::Candidate> candidates) {
  // The first among equals.
  return std::max_element(candidates.begin(), candidates.end(),
                          [](const auto& x, const auto& y) { return x.weight < y.weight; })
      ->token;
}

constexpr double routes_to_a = 1.0, routes_to_b = 0.0;

}  // namespace

TEST_CASE("vllm/gumbel-1: words and uniforms") {
  const Json& vectors = read("vllm-gumbel-1");
  for (const Json& v : list(vectors, "prf")) {
    const test::Tokens context = tokens_of(v.at("context"));
    const prf::PhiloxContext hashed(number(v.at("key")), context);
    const std::uint32_t word = hashed.word(v.at("token"), prf::PhiloxMapping::Lanes);
    REQUIRE(word == v.at("word").get<std::uint32_t>());
    REQUIRE(prf::philox_uniform(word) == exact(v.at("uniform_hex")));
    REQUIRE(-std::log1p(-prf::philox_uniform(word)) ==
            doctest::Approx(exact(v.at("score_hex"))).epsilon(1e-15));
  }
  for (const Json& v : list(vectors, "uniform_edges")) {
    REQUIRE(prf::philox_uniform(v.at("word")) == exact(v.at("uniform_hex")));
  }
}

TEST_CASE("vllm/gumbel-0: words of the development mapping") {
  for (const Json& v : list(read("vllm-gumbel-0"), "prf")) {
    const test::Tokens context = tokens_of(v.at("context"));
    const prf::PhiloxContext hashed(number(v.at("key")), context);
    REQUIRE(hashed.word(v.at("token"), prf::PhiloxMapping::Development) ==
            v.at("word").get<std::uint32_t>());
  }
}

TEST_CASE("vllm/gumbel: what is generated, and what is skipped") {
  for (const auto& [name, mark] :
       {std::pair("vllm-gumbel-1", "vllm/gumbel-1"), std::pair("vllm-gumbel-0", "vllm/gumbel-0")}) {
    for (const Json& v : list(read(name), "sequences")) {
      CAPTURE(name);
      CAPTURE(v.at("key"));
      const Fixture fixture(v.at("fixture"));
      Json parameters = {{"context_width", v.at("context_width")},
                         {"deduplicate_contexts", v.at("dedup")}};
      if (v.contains("max_history")) {
        parameters["deduplicate_contexts_max_history"] = v.at("max_history");
      }
      const test::Tokens prompt = v.contains("prompt") ? tokens_of(v.at("prompt")) : test::Tokens{};
      const auto walk = mark_of(mark, {number(v.at("key"))}, parameters)->walk(prompt);
      std::vector<std::size_t> skipped;
      for (std::size_t i = 0; i < v.at("tokens").size(); ++i) {
        const auto candidates = fixture.candidates(i);
        const bool is_marked = walk->is_marked(candidates);
        const TokenId token =
            is_marked ? walk->select(candidates, routes_to_a).value() : likeliest(candidates);
        if (!is_marked) skipped.push_back(i);
        REQUIRE(token == v.at("tokens")[i].get<TokenId>());
        walk->observe(token, is_marked);
      }
      if (v.contains("unwatermarked_positions")) {
        CHECK(skipped == v.at("unwatermarked_positions").get<std::vector<std::size_t>>());
      }
      if (!v.at("detect").value("dedup", true) || v.at("dedup") == "none") continue;
      const Detection found =
          detect(mark, {number(v.at("key"))}, parameters, tokens_of(v.at("tokens")));
      CHECK(found.scored == v.at("detect").at("n").get<std::size_t>());
      CHECK(is_close(found.log10_p, log10_of(v.at("detect").at("log_p"))));
    }
  }
}

TEST_CASE("vllm/gumbel-1: detection") {
  std::size_t tested = 0;
  for (const Json& v : list(read("vllm-gumbel-1"), "detections")) {
    // Repeats that are scored again make no p-value; and there is nothing to say of no text.
    if (!v.at("dedup").get<bool>() || v.at("tokens").empty()) continue;
    ++tested;
    const Json parameters = {{"context_width", v.at("context_width")}};
    const Json& expected = v.at("detect");
    const Detection found =
        detect("vllm/gumbel-1", {number(v.at("key"))}, parameters, tokens_of(v.at("tokens")));
    CHECK(found.scored == expected.at("n").get<std::size_t>());
    CHECK(found.results[0].score ==
          doctest::Approx(exact(expected.at("score_hex"))).epsilon(1e-12));
    CHECK(is_close(found.log10_p, log10_of(expected.at("log_p"))));
    REQUIRE(found.results[0].engine);
    CHECK(is_close(found.results[0].engine->log10_p, log10_of(expected.at("log_p"))));
    std::vector<double> scores;
    for (const double score : found.token_scores) {
      if (!std::isnan(score)) scores.push_back(score);
    }
    if (expected.at("token_scores").is_null()) continue;
    REQUIRE(scores.size() == expected.at("token_scores").size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      CHECK(scores[i] ==
            doctest::Approx(expected.at("token_scores")[i].get<double>()).epsilon(1e-13));
    }
  }
  CHECK(tested >= 5);
}

TEST_CASE("vllm/gumbel-1: selection") {
  for (const Json& v : list(read("vllm-gumbel-1"), "steps")) {
    const test::Tokens context = tokens_of(v.at("context"));
    const auto walk = mark_of("vllm/gumbel-1", {number(v.at("key"))},
                              {{"context_width", context.size()}, {"deduplicate_contexts", "none"}})
                          ->walk({});
    for (const TokenId token : context) walk->observe(token, true);
    std::vector<marks::Candidate> candidates;
    for (std::size_t t = 0; t < v.at("logits").size(); ++t) {
      // A null is a logit of -infinity.
      if (v.at("logits")[t].is_null()) continue;
      candidates.push_back({static_cast<TokenId>(t), std::exp(v.at("logits")[t].get<double>())});
    }
    CHECK(walk->select(candidates, routes_to_a) == v.at("token").get<TokenId>());
  }
}

TEST_CASE("vllm/dual-gumbel-1: both keys, and vLLM's own p-value") {
  const Json& vectors = read("vllm-dual-gumbel-1");
  for (const Json& v : list(vectors, "sequences")) {
    const Json& key_b_used = v.at("key_b_used");
    const Json parameters = {{"context_width", v.at("context_width")}};
    const Words key = {number(v.at("key"))};
    const Fixture fixture(v.at("fixture"));
    const auto walk = mark_of("vllm/dual-gumbel-1", key, parameters)->walk({});
    for (std::size_t i = 0; i < v.at("tokens").size(); ++i) {
      const auto candidates = fixture.candidates(i);
      const bool is_marked = walk->is_marked(candidates);
      const double coin = key_b_used[i] == 1 ? routes_to_b : routes_to_a;
      const TokenId token =
          is_marked ? walk->select(candidates, coin).value() : likeliest(candidates);
      REQUIRE(token == v.at("tokens")[i].get<TokenId>());
      walk->observe(token, is_marked);
    }
    for (const Json& expected : list(v, "detect")) {
      Json with_alpha = parameters;
      with_alpha["alpha"] = expected.at("alpha");
      const Detection found =
          detect("vllm/dual-gumbel-1", key, with_alpha, tokens_of(v.at("tokens")));
      CHECK(found.scored == expected.at("n").get<std::size_t>());
      CHECK(found.results[0].score ==
            doctest::Approx(exact(expected.at("score_hex"))).epsilon(1e-12));
      CHECK(is_close(found.results[0].engine->log10_p, log10_of(expected.at("log_p"))));
    }
  }
  for (const Json& v : list(vectors, "detections")) {
    const Detection found =
        detect("vllm/dual-gumbel-1", {number(v.at("key"))},
               {{"context_width", v.at("context_width")}, {"alpha", v.at("alpha")}},
               tokens_of(v.at("tokens")));
    CHECK(found.scored == v.at("detect").at("n").get<std::size_t>());
    CHECK(is_close(found.results[0].engine->log10_p, log10_of(v.at("detect").at("log_p"))));
  }
}

TEST_CASE("sglang/aaronson: hashes, selection and detection") {
  const Json& vectors = read("sglang-aaronson");
  for (const Json& v : list(vectors, "prf")) {
    const std::uint64_t key = hex_number(v.at("key_hex"));
    const test::Tokens context = tokens_of(v.at("context"));
    const auto token = v.at("token").get<std::uint32_t>();
    prf::Murmur3 hash;
    for (const TokenId one : context) hash.add(static_cast<std::uint32_t>(one));
    REQUIRE(hash.value() == v.at("context_hash").get<std::uint32_t>());
    REQUIRE(prf::Murmur3().add(key).add(hash.value()).add(token).value() ==
            v.at("token_hash").get<std::uint32_t>());
  }
  for (const Json& v : list(vectors, "select")) {
    const test::Tokens context = tokens_of(v.at("context"));
    const auto walk = mark_of("sglang/aaronson-1", {hex_number(v.at("key_hex"))},
                              {{"context_window", std::max<std::size_t>(1, context.size())}})
                          ->walk(context);
    std::vector<marks::Candidate> candidates;
    for (std::size_t t = 0; t < v.at("probs_float32").size(); ++t) {
      const double p = v.at("probs_float32")[t].get<double>();
      if (p > 0.0) candidates.push_back({static_cast<TokenId>(t), p});
    }
    REQUIRE(walk->is_marked(candidates));
    CHECK(walk->select(candidates, routes_to_a) == v.at("token").get<TokenId>());
  }
  for (const Json& v : list(vectors, "detections")) {
    const bool is_dual = !v.at("key_b_hex").is_null();
    Words key = {hex_number(v.at("key_hex"))};
    if (is_dual) key.push_back(hex_number(v.at("key_b_hex")));
    Json parameters = {{"context_window", v.at("context_window")}};
    if (is_dual) parameters["mixing_probability"] = v.at("mixing_probability");
    std::optional<test::Tokens> prompt;
    if (!v.at("prompt").is_null()) prompt = tokens_of(v.at("prompt"));
    const Detection found = detect(is_dual ? "sglang/aaronson-dual-1" : "sglang/aaronson-1", key,
                                   parameters, tokens_of(v.at("completion")), prompt);
    const Json& expected = v.at("detect").at("combined");
    CHECK(found.scored == expected.at("n").get<std::size_t>());
    CHECK(found.results[0].score ==
          doctest::Approx(exact(expected.at("score_hex"))).epsilon(1e-12));
    CHECK(is_close(found.log10_p, log10_of(expected.at("log_p"))));
  }
}

TEST_CASE("meta/textseal: hashes, selection and detection") {
  const Json& vectors = read("meta-textseal");
  for (const Json& v : list(vectors, "prf")) {
    const test::Tokens context = tokens_of(v.at("context"));
    REQUIRE(prf::textseal_hash(v.at("key"), context, v.at("token")) ==
            v.at("h13").get<std::int64_t>());
  }
  for (const Json& v : list(vectors, "select")) {
    const test::Tokens context = tokens_of(v.at("context"));
    const auto walk =
        mark_of("meta/textseal-2", {signed_number(v.at("key"))}, {{"ngram", context.size()}})
            ->walk(context);
    std::vector<marks::Candidate> candidates;
    for (std::size_t t = 0; t < v.at("probs_float32").size(); ++t) {
      candidates.push_back({static_cast<TokenId>(t), v.at("probs_float32")[t].get<double>()});
    }
    CHECK(walk->select(candidates, 0.0) == v.at("token").get<TokenId>());
  }
  // In floats, whose last bit differs between libraries.
  const auto is_near = [](double log10_p, const Json& natural) {
    return std::abs(log10_p - log10_of(natural)) <= 1e-6 * std::max(1.0, std::abs(log10_p));
  };
  std::size_t tested = 0;
  for (const Json& v : list(vectors, "detections")) {
    if (v.at("dedup") == "none") continue;
    ++tested;
    const char* const mark = v.at("dedup") == "v1" ? "meta/textseal-1" : "meta/textseal-2";
    const std::uint64_t key = signed_number(v.at("key"));
    const Json parameters = {{"ngram", v.at("ngram")}};
    const Detection one = detect(mark, {key}, parameters, tokens_of(v.at("tokens")));
    CHECK(one.scored == v.at("gumbelmax").at("n").get<std::size_t>());
    CHECK(is_near(one.log10_p, v.at("gumbelmax").at("log_p")));
    CHECK(is_near(one.results[0].engine->log10_p, v.at("gumbelmax").at("log_p")));
    const Json& dual = v.at("dual");
    Json of_two = parameters;
    of_two["scoring_method"] = v.at("dedup");
    const Detection two = detect("meta/textseal-2", {key, signed_number(dual.at("key_b"))}, of_two,
                                 tokens_of(v.at("tokens")));
    CHECK(two.scored == dual.at("n").get<std::size_t>());
    CHECK(is_near(two.results[0].engine->log10_p, dual.at("log_p")));
  }
  CHECK(tested >= 8);
}

TEST_CASE("synthid: g-values, masks and scores") {
  for (const auto& [file, mark] : {std::pair("hf-synthid-1", "hf/synthid-1"),
                                   std::pair("deepmind-synthid-2", "deepmind/synthid-2")}) {
    CAPTURE(mark);
    const Json& vectors = read(file);
    Words key;
    for (const Json& one : list(vectors, "keys")) key.push_back(one.get<std::uint64_t>());
    const Json parameters = {{"ngram_len", vectors.at("ngram_len")},
                             {"context_history_size", vectors.at("context_history_size")}};
    const Json& expected = vectors.at("detection");
    const Detection found = detect(mark, key, parameters, tokens_of(expected.at("tokens")));
    REQUIRE(found.results[0].engine);
    CHECK(found.results[0].engine->score ==
          doctest::Approx(expected.at("weighted_mean_score").get<double>()).epsilon(1e-6));
    std::size_t unmasked = 0;
    for (const Json& one : expected.at("mask")) unmasked += one.get<std::size_t>();
    CHECK(found.results[0].engine->scored == unmasked);

    const Json& generation = vectors.at("generation");
    const Fixture fixture(vectors.at("fixture"));
    const auto walk = mark_of(mark, key, parameters)->walk({});
    for (std::size_t i = 0; i < generation.at("tokens").size(); ++i) {
      auto candidates = fixture.candidates(i);
      const bool is_marked = walk->is_marked(candidates);
      CHECK(is_marked == (generation.at("watermarked")[i] == 1));
      if (is_marked) walk->reweigh(candidates);
      const TokenId token = likeliest(candidates);
      REQUIRE(token == generation.at("tokens")[i].get<TokenId>());
      walk->observe(token, is_marked);
    }
  }
}

TEST_CASE("hf/kgw: green lists, biases and counts") {
  const Json& vectors = read("hf-kgw");
  const Words key = {vectors.at("hashing_key").get<std::uint64_t>()};
  const auto mark_named = [](const Json& v) {
    return v.at("scheme") == "selfhash" ? "hf/kgw-selfhash-1" : "hf/kgw-lefthash-1";
  };
  const auto parameters_of = [](const Json& v) {
    return Json{{"vocab_size", v.at("vocab")}, {"context_width", v.at("context_width")}};
  };
  for (const Json& v : list(vectors, "greenlists")) {
    const auto vocab = v.at("vocab").get<std::uint32_t>();
    const auto size = v.at("greenlist_size").get<std::uint32_t>();
    const auto green = prf::TorchPermutation(number(v.at("manual_seed"))).first(size, vocab);
    const auto expected = v.at("greenlist_first16_in_order").get<std::vector<std::uint32_t>>();
    CHECK(std::equal(expected.begin(), expected.end(), green.begin()));
    std::vector<bool> is_green(vocab);
    for (const std::uint32_t one : green) is_green[one] = true;
    for (std::uint32_t t = 0; t < vocab; ++t) {
      REQUIRE(prf::TorchPermutation(number(v.at("manual_seed"))).is_among_first(t, size, vocab) ==
              is_green[t]);
    }
  }
  for (const Json& v : list(vectors, "biased")) {
    const auto walk =
        mark_of(mark_named(v), key, parameters_of(v))->walk(tokens_of(v.at("context")));
    const auto before = v.at("scores").get<std::vector<float>>();
    std::vector<float> after = before;
    walk->bias(after);
    std::vector<TokenId> biased;
    for (std::size_t t = 0; t < after.size(); ++t) {
      if (after[t] != before[t]) biased.push_back(static_cast<TokenId>(t));
    }
    CHECK(biased == tokens_of(v.at("biased_ids")));
  }
  for (const Json& v : list(vectors, "detections")) {
    if (v.at("unique_ngrams").get<bool>()) continue;
    const Detection found = detect(mark_named(v), key, parameters_of(v), tokens_of(v.at("tokens")));
    REQUIRE(found.results[0].engine);
    const EngineResult& engine = *found.results[0].engine;
    CHECK(engine.scored == v.at("detect").at("n").get<std::size_t>());
    CHECK(engine.score == v.at("detect").at("hits").get<double>());
    CHECK(
        engine.log10_p ==
        doctest::Approx(std::log10(exact(v.at("detect").at("p_value_normal_hex")))).epsilon(1e-9));
  }
}

TEST_CASE("sbw: seeds and green tokens") {
  std::size_t permuted_rows = 0;
  for (const Json& v : list(read("sbw"), "rows")) {
    const Words key = {number(v.at("key"))};
    const test::Tokens context = tokens_of(v.at("context5"));
    const bool is_green = v.at("gpu_selfhash_green_int").get<bool>();
    const test::Tokens window(context.end() - 4, context.end());
    const Detection found = detect("sbw/selfhash-1", key, Json::object(), window);
    REQUIRE(found.scored == 1);
    CHECK(found.results[0].score == (is_green ? 1.0 : 0.0));
    if (!v.contains("small_context5_vocab300")) continue;
    ++permuted_rows;
    const test::Tokens small = tokens_of(v.at("small_context5_vocab300"));
    const Detection permuted =
        detect("sbw/selfhash-1", key, {{"generator", "randperm"}, {"vocab_size", 300}},
               test::Tokens(small.end() - 4, small.end()));
    CHECK(permuted.results[0].score == (v.at("cpu_selfhash_green_vocab300") == true ? 1.0 : 0.0));
  }
  CHECK(permuted_rows > 0);
}
