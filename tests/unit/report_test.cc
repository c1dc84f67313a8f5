#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/json.h"
#include "support.h"

using namespace countermark;
using base::Json;

TEST_CASE("verdict_name: names every verdict") {
  CHECK(verdict_name(Verdict::Marked) == "marked");
  CHECK(verdict_name(Verdict::NotMarkedByTheseKeys) == "not_marked_by_these_keys");
  CHECK(verdict_name(Verdict::Insufficient) == "insufficient");
}

TEST_CASE("to_json: holds the detection on one line, NaN as null") {
  KeyRing ring = test::ring_of(test::marked_options(50));
  ring.create_profile("q");
  const test::Tokens tokens = test::marked_tokens(Sampler(ring, "p"), 200, 50);
  const Detection detection = Detector(ring).detect(tokens);
  const std::string text = to_json(detection);
  CHECK(text.find('\n') == std::string::npos);
  const Json json = Json::parse(text);
  CHECK(json.at("format") == "countermark.detection/1");
  CHECK(json.at("verdict") == "marked");
  CHECK(json.at("profile") == "p");
  CHECK(json.at("log10_p").get<double>() == detection.log10_p);
  CHECK(json.at("log10_e").get<double>() == detection.log10_e);
  CHECK(json.at("log10_threshold").get<double>() == detection.log10_threshold);
  CHECK(json.at("scored") == detection.scored);
  CHECK(json.at("tokens") == 200);
  CHECK(json.at("tested") == 2);
  REQUIRE(json.at("results").size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const Json& written = json.at("results").at(i);
    const ProfileResult& result = detection.results[i];
    CHECK(written.at("profile") == result.profile);
    CHECK(written.at("is_marked") == result.is_marked);
    CHECK(written.at("log10_p").get<double>() == result.log10_p);
    CHECK(written.at("log10_p_adjusted").get<double>() == result.log10_p_adjusted);
    CHECK(written.at("log10_e").get<double>() == result.log10_e);
    CHECK(written.at("scored") == result.scored);
    CHECK(written.at("score").get<double>() == result.score);
    CHECK(written.at("start") == (result.start == Start::Response ? "response" : "unknown"));
  }
  const Json& scores = json.at("token_scores");
  REQUIRE(scores.size() == tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const double score = detection.token_scores[i];
    REQUIRE(scores.at(i).is_null() == std::isnan(score));
    if (!std::isnan(score)) CHECK(scores.at(i).get<double>() == score);
  }
  CHECK(scores.at(0).is_null());
}

TEST_CASE("to_json: no profile is named where none was found") {
  const Detector detector(test::ring_of({}));
  const Json json = Json::parse(to_json(detector.detect(test::Tokens{1, 2, 3})));
  CHECK(json.at("profile").is_null());
  CHECK(json.at("verdict") == "insufficient");
  CHECK(json.at("scored") == 1);
  CHECK(Json::parse(to_json(Detection())).at("results").empty());
}
