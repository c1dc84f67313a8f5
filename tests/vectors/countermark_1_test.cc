// Golden vectors: the contract of countermark/1, made by an independent implementation and never by
// this library. A failure here means that texts marked yesterday are lost: fix the code, or publish
// a new mark. Do not edit the numbers.
#include "marks/countermark_1.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/hex.h"
#include "base/json.h"
#include "countermark/countermark.h"
#include "keys/derivation.h"
#include "prf/mix.h"
#include "stats/gamma_tail.h"
#include "stats/sum.h"
#include "support.h"

using namespace countermark;
using base::Json;

namespace {

const Json& vectors() {
  static const Json json = base::parse_json(test::read_text(COUNTERMARK_VECTORS),
                                            ErrorCode::FileFailure, COUNTERMARK_VECTORS);
  return json;
}

/// The field, which must hold something: an empty list would be skipped in silence.
const Json& list(const Json& json, const char* name) {
  const Json& field = json.at(name);
  REQUIRE(field.is_array());
  REQUIRE_FALSE(field.empty());
  return field;
}

const Json& cases() { return list(vectors(), "cases"); }
const Json& corners() { return vectors().at("corners"); }

std::uint64_t number(const Json& json) { return std::stoull(json.get<std::string>()); }

keys::Secret secret_of(const Json& hex) {
  test::SecretBytes bytes = {};
  REQUIRE(base::from_hex(hex.get<std::string>(), bytes));
  return keys::Secret(bytes);
}

std::string hex_of(const keys::Secret& secret) { return base::to_hex(secret.reveal()); }

marks::Countermark1 mark_of(const Json& secret, const Json& parameters) {
  return {secret_of(secret), marks::Countermark1Parameters::from_json(parameters)};
}

std::optional<std::uint64_t> account_of(const Json& vector) {
  const Json& account = vector.at("account");
  return account.is_null() ? std::nullopt : std::optional(number(account));
}

std::optional<keys::AccountKey> key_pair(const Json& pair) {
  if (pair.is_null()) return std::nullopt;
  return keys::AccountKey{number(pair.at(0)), number(pair.at(1))};
}

/// A profile "p" of the public interface, with accounts where it allows them.
KeyRing ring_of(const Json& secret, const Json& parameters, bool accounts) {
  ProfileOptions options;
  options.narrow_width = parameters.at("narrow_width");
  options.wide_width = parameters.at("wide_width");
  options.narrow_units = parameters.at("narrow_units").get<std::int64_t>();
  options.free_units = parameters.at("free_units").get<std::int64_t>();
  options.free_prefix = parameters.at("free_prefix").get<std::int64_t>();
  options.accounts = accounts;
  KeyRing ring = KeyRing::generate();
  ring.import_secret("p", secret_of(secret).reveal(), options);
  return ring;
}

/// An account in the vectors' case, and both layers, which accounts need.
bool has_accounts(const Json& vector) {
  const Json& parameters = vector.at("parameters");
  const std::int64_t narrow = parameters.at("narrow_units");
  return account_of(vector) && narrow > 0 &&
         narrow + parameters.at("free_units").get<std::int64_t>() < 65536;
}

const char* name_of(marks::Layer layer) {
  switch (layer) {
    case marks::Layer::Narrow:
      return "narrow";
    case marks::Layer::Wide:
      return "wide";
    case marks::Layer::Free:
      break;
  }
  return "free";
}

const char* name_of(Layer layer) {
  return name_of(layer == Layer::WideAccount ? marks::Layer::Wide
                                             : static_cast<marks::Layer>(layer));
}

bool is_within_one_ulp(double a, double b) { return a == b || std::nextafter(a, b) == b; }

bool is_close(double a, double b, double relative) {
  return std::abs(a - b) <= relative * std::abs(b);
}

/// The id that the layer of marks selects, or nothing where the position is free.
std::optional<TokenId> select(const marks::Countermark1& mark,
                              const std::optional<keys::AccountKey>& account,
                              const test::Tokens& response, const test::Tokens& ids,
                              const std::vector<double>& weights) {
  marks::Walk walk(mark);
  for (const TokenId token : response) REQUIRE(walk.observe(token) == ErrorCode::Ok);
  const marks::Place place = walk.next();
  if (place.layer == marks::Layer::Free || mark.parameters().in_free_prefix(walk.size()))
    return std::nullopt;
  const marks::TokenHash hash{place.seed,
                              place.layer == marks::Layer::Wide ? account : std::nullopt};
  marks::Selection selection;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    selection.offer(ids[i], prf::exponential(hash(ids[i])), weights[i]);
  }
  return selection.token();
}

/// A step of the vectors through the public interface.
void check_step(const Sampler& sampler, std::optional<std::uint64_t> account, const Json& step) {
  const auto response = step.at("response").get<test::Tokens>();
  const auto ids = list(step, "candidates").get<test::Tokens>();
  const auto weights = step.at("weights").get<std::vector<double>>();
  const Json& chosen = step.at("chosen");
  const Sequence sequence =
      sampler.sequence({.account = account, .seed = 1, .response_so_far = response});
  TokenId token = -1;
  REQUIRE(sequence.select_candidates(ids, weights, token) == ErrorCode::Ok);
  if (!chosen.is_null()) CHECK(token == chosen.get<TokenId>());
  const Placement placement = sequence.placement();
  CHECK(name_of(placement.layer) == step.at("layer").get<std::string>());
  CHECK(chosen.is_null() == (placement.layer == Layer::Free));
}

/// Scores of the positions that `expected` lists, under `account` in the wide layer.
void check_layer(const marks::Countermark1& mark, const test::Tokens& tokens, marks::Layer layer,
                 const std::optional<keys::AccountKey>& account, const Json& expected) {
  marks::Walk walk(mark);
  stats::Sum sum;
  std::vector<std::size_t> positions;
  std::vector<double> scores;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const marks::Place place = walk.next();
    if (place.layer == layer) {
      positions.push_back(i);
      scores.push_back(prf::score(marks::TokenHash{place.seed, account}(tokens[i])));
      sum.add(scores.back());
    }
    REQUIRE(walk.observe(tokens[i]) == ErrorCode::Ok);
  }
  CHECK(positions == expected.at("positions").get<std::vector<std::size_t>>());
  const auto exact = expected.at("scores").get<std::vector<double>>();
  REQUIRE(exact.size() == scores.size());
  REQUIRE(exact.size() == expected.at("scored").get<std::size_t>());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    CAPTURE(i);
    CHECK(is_within_one_ulp(scores[i], exact[i]));
  }
  CHECK(is_close(sum.value(), expected.at("sum"), 1e-13));
  const double log10_p = stats::log10_gamma_tail(static_cast<double>(scores.size()), sum.value());
  CHECK(is_close(log10_p, expected.at("log10_p"), 1e-9));
}

/// `result` is a ProfileResult or an AccountScore.
template <typename Result>
void check_evidence(const Result& result, const Json& expected) {
  CHECK(result.scored == expected.at("scored").get<std::size_t>());
  CHECK(is_close(result.score, expected.at("sum"), 1e-13));
  CHECK(is_close(result.log10_p, expected.at("log10_p"), 1e-9));
}

}  // namespace

TEST_CASE("countermark/1 vectors: are all there") {
  CHECK(vectors().at("mark") == "countermark/1");
  CHECK(cases().size() == 6);
  CHECK(list(corners(), "walks").size() == 13);
  std::size_t with_accounts = 0, edges = 0;
  for (const Json& vector : cases()) {
    with_accounts += has_accounts(vector);
    edges += vector.at("edges").size();
  }
  CHECK(with_accounts == 3);
  CHECK(edges == 6);
}

TEST_CASE("countermark/1 vectors: derived keys and account keys") {
  for (const Json& vector : cases()) {
    CAPTURE(vector.at("secret").get<std::string>());
    const keys::Secret secret = secret_of(vector.at("secret"));
    const Json& derived = vector.at("derived");
    REQUIRE(derived.size() == 3);
    for (const auto& [label, hex] : derived.items()) {
      CAPTURE(label);
      CHECK(hex_of(keys::derive(secret, label)) == hex.get<std::string>());
    }
    const auto expected = key_pair(vector.at("account_key"));
    REQUIRE(expected.has_value() == account_of(vector).has_value());
    if (!expected) continue;
    const auto key =
        mark_of(vector.at("secret"), vector.at("parameters")).account_key(*account_of(vector));
    CHECK(key.a1 == expected->a1);
    CHECK(key.a2 == expected->a2);
  }
}

TEST_CASE("countermark/1 vectors: hashes, uniforms and what is made of them") {
  const auto check_uniform = [](std::uint64_t h, const Json& expected) {
    CAPTURE(h);
    CHECK(h == number(expected.at("h")));
    CHECK(prf::uniform(h) == expected.at("u").get<double>());
    CHECK(prf::one_minus_uniform(h) == expected.at("one_minus_u").get<double>());
    CHECK(is_within_one_ulp(prf::score(h), expected.at("score")));
    CHECK(is_within_one_ulp(prf::exponential(h), expected.at("exponential")));
  };
  for (const Json& vector : cases()) {
    for (const Json& sample : list(vector, "samples")) {
      const Json& seed = sample.at("seed");
      const marks::TokenHash hash{{number(seed.at(0)), number(seed.at(1))},
                                  key_pair(sample.at("account_key"))};
      check_uniform(hash(sample.at("token").get<TokenId>()), sample);
    }
    for (const Json& edge : vector.at("edges")) check_uniform(number(edge.at("h")), edge);
  }
}

TEST_CASE("countermark/1 vectors: places with their seeds") {
  for (const Json& vector : cases()) {
    CAPTURE(vector.at("secret").get<std::string>());
    const auto tokens = list(vector, "tokens").get<test::Tokens>();
    const Json& places = list(vector, "places");
    REQUIRE(places.size() == tokens.size());
    const marks::Countermark1 mark = mark_of(vector.at("secret"), vector.at("parameters"));
    marks::Walk walk(mark);
    // A kernel's placements agree, but for the free prefix.
    Sequence sequence =
        Sampler(ring_of(vector.at("secret"), vector.at("parameters"), false), "p").sequence();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      CAPTURE(i);
      const Json& expected = places[i];
      const std::string layer = expected.at(0);
      const bool seeded = expected.size() == 3;
      REQUIRE(seeded == (layer != "free"));
      const marks::Place& place = walk.next();
      const Placement placement = sequence.placement();
      CHECK(name_of(place.layer) == layer);
      if (seeded) {
        CHECK(place.seed.k1 == number(expected.at(1)));
        CHECK(place.seed.k2 == number(expected.at(2)));
      }
      if (seeded && !mark.parameters().in_free_prefix(i)) {
        CHECK(name_of(placement.layer) == layer);
        CHECK(placement.k1 == number(expected.at(1)));
        CHECK(placement.k2 == number(expected.at(2)));
      } else {
        CHECK(placement.layer == Layer::Free);
        CHECK(placement.k1 == 0);
        CHECK(placement.k2 == 0);
      }
      REQUIRE(walk.observe(tokens[i]) == ErrorCode::Ok);
      REQUIRE(sequence.observe(tokens[i]) == ErrorCode::Ok);
    }
  }
}

TEST_CASE("countermark/1 vectors: selected tokens") {
  for (const Json& vector : cases()) {
    CAPTURE(vector.at("secret").get<std::string>());
    const Json& parameters = vector.at("parameters");
    const marks::Countermark1 mark = mark_of(vector.at("secret"), parameters);
    const auto account = account_of(vector);
    std::optional<keys::AccountKey> key;
    if (account) key = mark.account_key(*account);
    for (const Json& step : list(vector, "select_steps")) {
      const auto chosen =
          select(mark, key, step.at("response"), step.at("candidates"), step.at("weights"));
      REQUIRE(chosen.has_value() == !step.at("chosen").is_null());
      if (chosen) CHECK(*chosen == step.at("chosen").get<TokenId>());
      // The interface refuses an account without a narrow layer; the mark itself has just been
      // tested with it.
      if (account && !has_accounts(vector)) continue;
      check_step(Sampler(ring_of(vector.at("secret"), parameters, account.has_value()), "p"),
                 account, step);
    }
  }
}

TEST_CASE("countermark/1 vectors: the scores of each layer") {
  for (const Json& vector : cases()) {
    CAPTURE(vector.at("secret").get<std::string>());
    const marks::Countermark1 mark = mark_of(vector.at("secret"), vector.at("parameters"));
    const auto tokens = list(vector, "tokens").get<test::Tokens>();
    const Json& detection = vector.at("detection");
    check_layer(mark, tokens, marks::Layer::Narrow, {}, detection.at("narrow"));
    check_layer(mark, tokens, marks::Layer::Wide, {}, detection.at("wide"));
    const auto account = account_of(vector);
    REQUIRE(account.has_value() == detection.contains("wide_account"));
    if (!account) continue;
    check_layer(mark, tokens, marks::Layer::Wide, mark.account_key(*account),
                detection.at("wide_account"));
  }
}

TEST_CASE("countermark/1 vectors: the public detector") {
  for (const Json& vector : cases()) {
    CAPTURE(vector.at("secret").get<std::string>());
    const auto tokens = list(vector, "tokens").get<test::Tokens>();
    const Json& expected = vector.at("detection");
    const Json& parameters = vector.at("parameters");

    const Detector plain(ring_of(vector.at("secret"), parameters, false));
    const Detection presence = plain.detect(tokens, Start::Unknown);
    check_evidence(presence.results.at(0), expected.at("presence_without_accounts"));
    CHECK(presence.log10_p == presence.results[0].log10_p);

    if (!has_accounts(vector)) continue;
    const Detector traced(ring_of(vector.at("secret"), parameters, true));
    check_evidence(traced.detect(tokens, Start::Unknown).results.at(0), expected.at("narrow"));
    check_evidence(traced.score_account(tokens, "p", account_of(vector), Start::Unknown),
                   expected.at("wide_account"));
    check_evidence(traced.score_account(tokens, "p", std::nullopt, Start::Unknown),
                   expected.at("wide"));
  }
}

TEST_CASE("countermark/1 corners: commitment, key id and decoys") {
  const keys::Secret secret = secret_of(corners().at("secret"));
  const std::string commitment = keys::commitment(secret);
  CHECK(commitment == corners().at("commitment").get<std::string>());
  CHECK(keys::key_id(commitment) == corners().at("key_id").get<std::string>());
  CHECK(hex_of(keys::derive(secret, "decoy/0")) == corners().at("decoy_0").get<std::string>());
  CHECK(hex_of(keys::derive(secret, "decoy/1")) == corners().at("decoy_1").get<std::string>());

  KeyRing ring = KeyRing::generate();
  const Profile profile = ring.import_secret("p", secret.reveal());
  CHECK(profile.commitment() == commitment);
  CHECK(profile.key_id() == corners().at("key_id").get<std::string>());
}

TEST_CASE("countermark/1 corners: walks") {
  for (const Json& expected : list(corners(), "walks")) {
    CAPTURE(expected.at("why").get<std::string>());
    const auto tokens = list(expected, "tokens").get<test::Tokens>();
    marks::Walk walk(mark_of(corners().at("secret"), expected.at("parameters")));
    std::vector<std::string> layers;
    for (const TokenId token : tokens) {
      layers.emplace_back(name_of(walk.next().layer));
      REQUIRE(walk.observe(token) == ErrorCode::Ok);
    }
    CHECK(layers == expected.at("layers").get<std::vector<std::string>>());
  }
}

TEST_CASE("countermark/1 corners: the free prefix ends where it should") {
  ProfileOptions options;
  options.free_prefix = 12;
  KeyRing ring = KeyRing::generate();
  ring.import_secret("p", secret_of(corners().at("secret")).reveal(), options);
  for (const Json& step : list(corners(), "free_prefix_12")) {
    check_step(Sampler(ring, "p"), std::nullopt, step);
  }
}
