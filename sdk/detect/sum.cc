#include "detect/sum.h"

#include <algorithm>
#include <cmath>

#include "stats/evidence.h"
#include "stats/gamma_tail.h"
#include "stats/log_product.h"
#include "stats/nested_tail.h"

namespace countermark::detect {
namespace {

SumEvidence sum_of(std::span<const double> rests) {
  SumEvidence evidence;
  stats::LogProduct product;
  for (const double rest : rests) {
    if (!std::isnan(rest)) product.multiply(rest);
  }
  evidence.scored = product.factors();
  evidence.score = product.minus_log();
  evidence.log10_p = stats::log10_gamma_tail(static_cast<double>(evidence.scored), evidence.score);
  evidence.log10_e = stats::log10_exponential_e_value(evidence.scored, evidence.score);
  return evidence;
}

}  // namespace

SumEvidence sum_scores(std::span<const double> rests, std::size_t free_prefix, Start start) {
  const SumEvidence unknown = sum_of(rests);
  if (free_prefix == 0 || start == Start::Unknown) return unknown;
  SumEvidence response = sum_of(rests.subspan(std::min(free_prefix, rests.size())));
  response.start = Start::Response;
  if (start == Start::Response) return response;
  // The better of two p-values is paid for; the mean of two e-values is one.
  SumEvidence better = unknown.log10_p < response.log10_p ? unknown : response;
  better.log10_p =
      stats::log10_nested_tail(response.scored, response.score, unknown.scored, unknown.score);
  const double both[] = {unknown.log10_e, response.log10_e};
  better.log10_e = stats::log10_mean(both);
  return better;
}

}  // namespace countermark::detect
