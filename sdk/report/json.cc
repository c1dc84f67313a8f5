#include "base/json.h"

#include <cmath>

#include "countermark/report.h"

namespace countermark {
namespace {

std::string_view start_name(Start start) noexcept {
  return start == Start::Response ? "response" : "unknown";
}

base::Json or_null(double value) { return std::isnan(value) ? base::Json() : base::Json(value); }

}  // namespace

std::string_view verdict_name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::Marked:
      return "marked";
    case Verdict::NotMarkedByTheseKeys:
      return "not_marked_by_these_keys";
    case Verdict::Insufficient:
      return "insufficient";
  }
  return "insufficient";
}

std::string_view statistic_name(Statistic statistic) noexcept {
  switch (statistic) {
    case Statistic::Sum:
      return "sum";
    case Statistic::GoodnessOfFit:
      return "goodness_of_fit";
    case Statistic::Scan:
      return "scan";
    case Statistic::Likelihood:
      return "likelihood";
    case Statistic::Replay:
      return "replay";
  }
  return "sum";
}

std::string to_json(const Detection& detection) {
  base::Json results = base::Json::array();
  for (const ProfileResult& result : detection.results) {
    base::Json tests = base::Json::array();
    for (const Test& test : result.tests) {
      tests.push_back({{"statistic", statistic_name(test.statistic)},
                       {"share", test.share},
                       {"log10_p", or_null(test.log10_p)}});
    }
    results.push_back({{"profile", result.profile},
                       {"is_marked", result.is_marked},
                       {"log10_p", result.log10_p},
                       {"log10_p_adjusted", result.log10_p_adjusted},
                       {"log10_e", result.log10_e},
                       {"scored", result.scored},
                       {"score", result.score},
                       {"start", start_name(result.start)},
                       {"log10_inflation", result.log10_inflation},
                       {"tests", std::move(tests)}});
    if (result.engine) {
      results.back()["engine"] = {{"scored", result.engine->scored},
                                  {"score", result.engine->score},
                                  {"log10_p", or_null(result.engine->log10_p)},
                                  {"remark", result.engine->remark}};
    }
  }
  base::Json regions = base::Json::array();
  for (const Region& region : detection.regions) {
    base::Json characters;
    if (region.characters) characters = {region.characters->first, region.characters->second};
    regions.push_back({{"profile", region.profile},
                       {"tokens", {region.begin, region.end}},
                       {"characters", std::move(characters)},
                       {"scored", region.scored},
                       {"score", region.score},
                       {"log10_p", region.log10_p}});
  }
  base::Json scores = base::Json::array();
  for (const double score : detection.token_scores) {
    scores.push_back(or_null(score));
  }
  base::Json json = {
      {"format", "countermark.detection/1"},
      {"verdict", verdict_name(detection.verdict)},
      {"log10_p", detection.log10_p},
      {"log10_e", detection.log10_e},
      {"log10_threshold", detection.log10_threshold},
      {"profile", nullptr},
      {"scored", detection.scored},
      {"tokens", detection.token_scores.size()},
      {"entropy_bits", nullptr},
      {"tokens_to_decide", nullptr},
      {"tested", detection.tested},
      {"variants", detection.variants},
      {"variant", detection.variant},
      {"correction",
       "shares of each profile's tests, Holm over profiles, Bonferroni over variants"},
      {"regions", std::move(regions)},
      {"results", std::move(results)},
      {"token_scores", std::move(scores)}};
  if (detection.entropy_bits) json["entropy_bits"] = *detection.entropy_bits;
  if (detection.tokens_to_decide) json["tokens_to_decide"] = *detection.tokens_to_decide;
  if (!detection.profile.empty()) json["profile"] = detection.profile;
  return json.dump();
}

}  // namespace countermark
