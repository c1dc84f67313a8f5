#include "base/json.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "countermark/report.h"

namespace countermark {
namespace {

std::string_view start_name(Start start) noexcept {
  return start == Start::Response ? "response" : "unknown";
}

base::Json or_null(double value) { return std::isnan(value) ? base::Json() : base::Json(value); }

template <typename Value>
base::Json or_null(const std::optional<Value>& value) {
  return value ? base::Json(*value) : base::Json();
}

base::Json or_null(const std::optional<std::pair<std::size_t, std::size_t>>& range) {
  return range ? base::Json{range->first, range->second} : base::Json();
}

base::Json all_of(const std::vector<Test>& tests) {
  base::Json all = base::Json::array();
  for (const Test& test : tests) {
    all.push_back({{"statistic", statistic_name(test.statistic)},
                   {"share", test.share},
                   {"log10_p", or_null(test.log10_p)}});
  }
  return all;
}

base::Json all_of(const std::vector<double>& scores) {
  base::Json all = base::Json::array();
  for (const double score : scores) all.push_back(or_null(score));
  return all;
}

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
    results.push_back({{"profile", result.profile},
                       {"is_marked", result.is_marked},
                       {"log10_p", result.log10_p},
                       {"log10_p_adjusted", result.log10_p_adjusted},
                       {"log10_e", result.log10_e},
                       {"scored", result.scored},
                       {"score", result.score},
                       {"start", start_name(result.start)},
                       {"log10_inflation", result.log10_inflation},
                       {"tests", all_of(result.tests)}});
    if (result.engine) {
      results.back()["engine"] = {{"scored", result.engine->scored},
                                  {"score", result.engine->score},
                                  {"log10_p", or_null(result.engine->log10_p)},
                                  {"remark", result.engine->remark}};
    }
  }
  base::Json regions = base::Json::array();
  for (const Region& region : detection.regions) {
    regions.push_back({{"profile", region.profile},
                       {"tokens", {region.begin, region.end}},
                       {"characters", or_null(region.characters)},
                       {"scored", region.scored},
                       {"score", region.score},
                       {"log10_p", region.log10_p}});
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
      {"entropy_bits", or_null(detection.entropy_bits)},
      {"tokens_to_decide", or_null(detection.tokens_to_decide)},
      {"tested", detection.tested},
      {"variants", detection.variants},
      {"variant", detection.variant},
      {"correction",
       "shares of each profile's tests, Holm over profiles, Bonferroni over variants"},
      {"regions", std::move(regions)},
      {"results", std::move(results)},
      {"token_scores", all_of(detection.token_scores)}};
  if (!detection.profile.empty()) json["profile"] = detection.profile;
  return json.dump();
}

std::string_view verdict_name(TraceVerdict verdict) noexcept {
  switch (verdict) {
    case TraceVerdict::Account:
      return "account";
    case TraceVerdict::NoAccount:
      return "no_account";
    case TraceVerdict::Insufficient:
      return "insufficient";
  }
  return "insufficient";
}

namespace {

/// As text: many readers of JSON take numbers for doubles, and an id for another one.
base::Json id_text(const std::optional<std::uint64_t>& account) {
  return account ? base::Json(std::to_string(*account)) : base::Json();
}

}  // namespace

std::string to_json(const Trace& trace) {
  base::Json accused = base::Json::array();
  for (const std::uint64_t account : trace.accused) accused.push_back(id_text(account));
  base::Json candidates = base::Json::array();
  for (const AccountCandidate& candidate : trace.candidates) {
    candidates.push_back({{"account", id_text(candidate.account)},
                          {"is_accused", candidate.is_accused},
                          {"log10_p", candidate.log10_p},
                          {"log10_p_adjusted", candidate.log10_p_adjusted},
                          {"log10_e", candidate.log10_e},
                          {"scored", candidate.scored},
                          {"score", candidate.score},
                          {"start", start_name(candidate.start)}});
  }
  base::Json regions = base::Json::array();
  for (const TracedRegion& region : trace.regions) {
    regions.push_back({{"account", id_text(region.account)},
                       {"tokens", {region.begin, region.end}},
                       {"characters", or_null(region.characters)},
                       {"scored", region.scored},
                       {"score", region.score},
                       {"log10_p", region.log10_p},
                       {"log10_gap", region.log10_gap}});
  }
  const base::Json json = {{"format", "countermark.trace/1"},
                           {"verdict", verdict_name(trace.verdict)},
                           {"account", id_text(trace.account)},
                           {"accused", std::move(accused)},
                           {"log10_p", trace.log10_p},
                           {"log10_e", trace.log10_e},
                           {"log10_gap", trace.log10_gap},
                           {"log10_threshold", trace.log10_threshold},
                           {"scored", trace.scored},
                           {"tokens", trace.token_scores.size()},
                           {"tested", trace.tested},
                           {"tokens_to_decide", or_null(trace.tokens_to_decide)},
                           {"ours",
                            {{"scored", trace.ours.scored},
                             {"score", trace.ours.score},
                             {"log10_p", trace.ours.log10_p},
                             {"log10_e", trace.ours.log10_e}}},
                           {"log10_p_combined", trace.log10_p_combined},
                           {"correction", "shares of the tests, Bonferroni over all tested"},
                           {"tests", all_of(trace.tests)},
                           {"candidates", std::move(candidates)},
                           {"regions", std::move(regions)},
                           {"token_scores", all_of(trace.token_scores)}};
  return json.dump();
}

}  // namespace countermark
