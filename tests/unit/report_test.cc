#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/json.h"
#include "support.h"

using namespace countermark;
using base::Json;

TEST_CASE("verdict_name: names every verdict") {
  CHECK(verdict_name(Verdict::Marked) == "marked");
  CHECK(verdict_name(Verdict::NotMarkedByTheseKeys) == "not_marked_by_these_keys");
  CHECK(verdict_name(Verdict::Insufficient) == "insufficient");
}

TEST_CASE("statistic_name: names every statistic") {
  CHECK(statistic_name(Statistic::Sum) == "sum");
  CHECK(statistic_name(Statistic::GoodnessOfFit) == "goodness_of_fit");
  CHECK(statistic_name(Statistic::Scan) == "scan");
  CHECK(statistic_name(Statistic::Likelihood) == "likelihood");
  CHECK(statistic_name(Statistic::Replay) == "replay");
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
    CHECK(written.at("log10_inflation").get<double>() == 0.0);
    REQUIRE(written.at("tests").size() == result.tests.size());
    for (std::size_t k = 0; k < result.tests.size(); ++k) {
      const Json& test = written.at("tests").at(k);
      CHECK(test.at("statistic") == statistic_name(result.tests[k].statistic));
      CHECK(test.at("share").get<double>() == result.tests[k].share);
      const double log10_p = result.tests[k].log10_p;
      REQUIRE(test.at("log10_p").is_null() == std::isnan(log10_p));
      if (!std::isnan(log10_p)) CHECK(test.at("log10_p").get<double>() == log10_p);
    }
  }
  CHECK(json.at("entropy_bits").is_null());
  CHECK(json.at("tokens_to_decide") == 0);
  CHECK(json.at("variants") == 1);
  CHECK(json.at("variant") == 0);
  CHECK(json.at("correction").is_string());
  REQUIRE(json.at("regions").size() == 1);
  const Json& region = json.at("regions").at(0);
  CHECK(region.at("profile") == "p");
  CHECK(region.at("tokens") == Json{detection.regions[0].begin, detection.regions[0].end});
  CHECK(region.at("characters").is_null());
  CHECK(region.at("scored") == detection.regions[0].scored);
  CHECK(region.at("score").get<double>() == detection.regions[0].score);
  CHECK(region.at("log10_p").get<double>() == detection.regions[0].log10_p);
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

TEST_CASE(
    "to_json: what a model told, variants, characters and factors are in it where there are any") {
  Detection detection;
  detection.entropy_bits = 12.5;
  detection.tokens_to_decide = 34;
  detection.variants = 3;
  detection.variant = 2;
  detection.regions.push_back(
      {"p", 3, 9, std::pair<std::size_t, std::size_t>(10, 40), 5, 12.25, -7.5});
  detection.results.resize(1);
  detection.results[0].log10_inflation = 0.75;
  detection.results[0].tests = {{Statistic::Replay, 0.5, std::numeric_limits<double>::quiet_NaN()}};
  const Json json = Json::parse(to_json(detection));
  CHECK(json.at("entropy_bits") == 12.5);
  CHECK(json.at("tokens_to_decide") == 34);
  CHECK(json.at("variants") == 3);
  CHECK(json.at("variant") == 2);
  CHECK(json.at("regions").at(0).at("characters") == Json{10, 40});
  CHECK(json.at("results").at(0).at("log10_inflation") == 0.75);
  const Json& test = json.at("results").at(0).at("tests").at(0);
  CHECK(test.at("statistic") == "replay");
  CHECK(test.at("share") == 0.5);
  CHECK(test.at("log10_p").is_null());
  // Where no length would do there is no number.
  detection.tokens_to_decide.reset();
  CHECK(Json::parse(to_json(detection)).at("tokens_to_decide").is_null());
}
