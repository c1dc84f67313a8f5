#include "stats/goodness_of_fit.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/tools/roots.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "stats/sum.h"

namespace countermark::stats {
namespace {

using Quiet = boost::math::policies::policy<
    boost::math::policies::underflow_error<boost::math::policies::ignore_error>>;

/// n K(i/n, p) for i/n > p; 0 elsewhere.
double divergence(double n, double i, double p) {
  if (i <= n * p) return 0.0;
  const double hits = i * std::log(i / (n * p));
  return i < n ? hits + (n - i) * std::log((n - i) / (n * (1.0 - p))) : hits;
}

/// The largest p where rank i reaches `s`; the divergence falls from p = `low`, where it reaches
/// it, to i/n.
double boundary(double n, double i, double s, double low) {
  const auto excess = [&](double p) { return divergence(n, i, p) - s; };
  std::uintmax_t iterations = 200;
  return boost::math::tools::toms748_solve(
             excess, low, i / n, boost::math::tools::eps_tolerance<double>(48), iterations)
      .second;
}

/// log of P(Binomial(n, p) = k), with the logarithms of the factorials at hand.
class LogBinomial {
 public:
  explicit LogBinomial(std::size_t n) : log_factorial_(n + 1, 0.0) {
    for (std::size_t i = 2; i <= n; ++i) {
      log_factorial_[i] = boost::math::lgamma(static_cast<double>(i) + 1.0);
    }
  }
  double operator()(std::size_t n, std::size_t k, double p) const {
    const auto hits = static_cast<double>(k);
    const auto misses = static_cast<double>(n - k);
    return log_factorial_[n] - log_factorial_[k] - log_factorial_[n - k] + hits * std::log(p) +
           (misses > 0.0 ? misses * std::log1p(-p) : 0.0);
  }

 private:
  std::vector<double> log_factorial_;
};

}  // namespace

GoodnessOfFit goodness_of_fit(std::span<double> p_values) {
  std::sort(p_values.begin(), p_values.end());
  const auto n = static_cast<double>(p_values.size());
  GoodnessOfFit found;
  for (std::size_t i = 0; i < p_values.size(); ++i) {
    const double p = std::max(p_values[i], 1.0 / n);
    const double rank = static_cast<double>(i + 1);
    // The divergence is at most (u - v)^2 / (v (1 - v)): few ranks need the logarithms.
    const double excess = rank - n * p;
    if (excess <= 0.0 || excess * excess <= found.statistic * n * p * (1.0 - p)) continue;
    const double statistic = divergence(n, rank, p);
    if (statistic > found.statistic) found = {statistic, i + 1, p};
  }
  return found;
}

double log10_goodness_of_fit_tail(std::size_t n, double s) {
  // Below this it is 1 in every digit, and no boundary is to be found.
  if (n < 2 || s <= 1e-9) return 0.0;
  const auto size = static_cast<double>(n);
  const double least = 1.0 / size;
  // Rank n reaches at most ln(n) n, and lower ranks less.
  std::size_t first = 1;
  while (first <= n && divergence(size, static_cast<double>(first), least) < s) ++first;
  if (first > n) return -HUGE_VAL;

  std::vector<double> levels(n + 1, 0.0);
  double low = least;
  for (std::size_t i = first; i <= n; ++i) {
    levels[i] = low = boundary(size, static_cast<double>(i), s, low);
  }
  const LogBinomial log_binomial(n);
  std::vector<double> is_last(n + 1, 0.0), log_terms(n + 1, -HUGE_VAL);
  double largest = -HUGE_VAL;
  for (std::size_t i = n; i >= first; --i) {
    // Later ranks cross ever more seldom: terms left out can only make P larger.
    constexpr double negligible = 1e-10;
    constexpr std::size_t most_ranks = 256;
    double crossed = 0.0, previous = 0.0;
    for (std::size_t j = i + 1; j <= std::min(n, i + most_ranks); ++j) {
      const double p = (levels[j] - levels[i]) / (1.0 - levels[i]);
      const double term = std::exp(log_binomial(n - i, j - i, p)) * is_last[j];
      crossed += term;
      if (term < negligible && term <= previous) break;
      previous = term;
    }
    is_last[i] = std::clamp(1.0 - crossed, 0.0, 1.0);
    log_terms[i] = log_binomial(n, i, levels[i]) + std::log(is_last[i]);
    largest = std::max(largest, log_terms[i]);
  }
  Sum sum;
  for (std::size_t i = first; i <= n; ++i) sum.add(std::exp(log_terms[i] - largest));
  return std::min(0.0, (largest + std::log(sum.value())) / std::numbers::ln10);
}

double log10_goodness_of_fit_bound(std::size_t n, const GoodnessOfFit& found) {
  if (found.rank == 0) return 0.0;
  const auto rank = static_cast<double>(found.rank);
  return std::log10(
      boost::math::ibeta(rank, static_cast<double>(n) - rank + 1.0, found.level, Quiet()));
}

}  // namespace countermark::stats
