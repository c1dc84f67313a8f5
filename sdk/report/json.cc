#include "base/json.h"

#include <cmath>

#include "countermark/report.h"

namespace countermark {
namespace {

std::string_view start_name(Start start) noexcept {
  return start == Start::Response ? "response" : "unknown";
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
                       {"start", start_name(result.start)}});
  }
  base::Json scores = base::Json::array();
  for (const double score : detection.token_scores) {
    scores.push_back(std::isnan(score) ? base::Json() : base::Json(score));
  }
  base::Json json = {{"format", "countermark.detection/1"},
                     {"verdict", verdict_name(detection.verdict)},
                     {"log10_p", detection.log10_p},
                     {"log10_e", detection.log10_e},
                     {"log10_threshold", detection.log10_threshold},
                     {"profile", nullptr},
                     {"scored", detection.scored},
                     {"tokens", detection.token_scores.size()},
                     {"tested", detection.tested},
                     {"correction", "holm"},
                     {"results", std::move(results)},
                     {"token_scores", std::move(scores)}};
  if (!detection.profile.empty()) json["profile"] = detection.profile;
  return json.dump();
}

}  // namespace countermark
