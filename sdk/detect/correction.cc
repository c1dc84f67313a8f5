#include "detect/correction.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "stats/evidence.h"

namespace countermark::detect {

double log10_threshold(const char* name, double rate) {
  if (!(rate > 0.0 && rate <= 0.5)) {
    fail(ErrorCode::InvalidOption, name, " must be in (0, 0.5], got ", rate);
  }
  return std::log10(rate);
}

void correct(Detection& detection) {
  std::vector<double> log10_p, log10_e;
  for (const ProfileResult& result : detection.results) {
    log10_p.push_back(result.log10_p);
    log10_e.push_back(result.log10_e);
  }
  const std::vector<double> holm = stats::log10_holm(log10_p);
  const double price = std::log10(static_cast<double>(detection.variants));
  for (std::size_t i = 0; i < holm.size(); ++i) {
    ProfileResult& result = detection.results[i];
    result.log10_p_adjusted = std::min(0.0, holm[i] + price);
    result.is_marked = result.log10_p_adjusted <= detection.log10_threshold;
  }
  detection.best =
      static_cast<std::size_t>(std::min_element(log10_p.begin(), log10_p.end()) - log10_p.begin());
  detection.tested = detection.results.size();
  detection.log10_e = stats::log10_mean(log10_e);
  const ProfileResult& best = detection.results[detection.best];
  detection.log10_p = best.log10_p_adjusted;
  detection.scored = best.scored;
  if (best.is_marked) {
    detection.verdict = Verdict::Marked;
    detection.profile = best.profile;
  }
}

DecoyRank rank_among(double log10_p, std::vector<double> decoys) {
  DecoyRank result;
  result.log10_p = log10_p;
  result.decoys = std::move(decoys);
  result.rank += static_cast<std::size_t>(std::count_if(
      result.decoys.begin(), result.decoys.end(), [&](double decoy) { return decoy <= log10_p; }));
  const auto count = static_cast<double>(result.decoys.size());
  result.log10_rank_p = std::log10(static_cast<double>(result.rank) / (count + 1.0));
  if (!result.decoys.empty()) {
    const double least = *std::min_element(result.decoys.begin(), result.decoys.end());
    result.agrees = least + std::log10(count) > -3.0;
  }
  return result;
}

}  // namespace countermark::detect
