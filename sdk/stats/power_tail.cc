#include "stats/power_tail.h"

#include <algorithm>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <cstdint>
#include <map>
#include <numbers>
#include <vector>

#include "stats/evidence.h"
#include "stats/sum.h"

namespace countermark::stats {
namespace {

/// Nodes in ln(U / (1 - U)), where the power rises from 0 to 1 within a few units whatever P is,
/// and nothing is singular: the trapezoidal rule is exact to the last digits.
struct Node {
  double log_u, weight;
};

std::vector<Node> make_nodes() {
  constexpr double step = 0.375;
  constexpr int most = 112;  // at 42
  std::vector<Node> nodes;
  for (int k = -most; k <= most; ++k) {
    const double x = step * k;
    nodes.push_back(
        {-std::log1p(std::exp(-x)), step / ((1.0 + std::exp(x)) * (1.0 + std::exp(-x)))});
  }
  return nodes;
}

/// K(theta), the sum's cumulant generating function.
class Cumulants {
 public:
  explicit Cumulants(std::span<const PowerTerms> terms) : terms_(terms), nodes_(make_nodes()) {
    for (const PowerTerms& term : terms) {
      const auto [found, is_new] = values_.try_emplace(term.probability);
      if (!is_new) continue;
      for (const Node& node : nodes_) {
        found->second.push_back(std::exp((1.0 / term.probability - 1.0) * node.log_u) -
                                term.probability);
      }
    }
  }

  double at(double theta) const {
    Sum sum;
    for (const PowerTerms& term : terms_) {
      if (term.count == 0) continue;
      const std::vector<double>& values = values_.at(term.probability);
      const double tilt = theta * term.weight;
      // Scaled by the largest, so that nothing overflows.
      const double largest = tilt * (tilt > 0.0 ? values.back() : values.front());
      double mean = 0.0;
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        mean += nodes_[i].weight * std::exp(tilt * values[i] - largest);
      }
      sum.add(static_cast<double>(term.count) * (std::log(mean) + largest));
    }
    return sum.value();
  }

 private:
  std::span<const PowerTerms> terms_;
  std::vector<Node> nodes_;
  std::map<double, std::vector<double>> values_;
};

}  // namespace

double log10_power_tail(std::span<const PowerTerms> terms, double x) {
  if (!(x > 0.0)) return 0.0;  // the mean, or below
  double variance = 0.0;
  for (const PowerTerms& term : terms) {
    variance += static_cast<double>(term.count) * term.weight * term.weight *
                power_variance(term.probability);
  }
  if (variance == 0.0) return 0.0;
  const Cumulants cumulants(terms);
  const auto exponent = [&](double theta) { return cumulants.at(theta) - theta * x; };
  // Convex, and 0 at 0: any theta bounds. Doubled until it rises again.
  double high = x / variance;
  for (int k = 0; k < 60 && exponent(2.0 * high) < exponent(high); ++k) high *= 2.0;
  constexpr int bits = 20;
  std::uintmax_t steps = 40;
  const auto [theta, least] =
      boost::math::tools::brent_find_minima(exponent, 0.0, 2.0 * high, bits, steps);
  return std::min(0.0, least) / std::numbers::ln10;
}

double log10_power_e_value(std::span<const PowerTerms> terms, std::span<const double> tilts,
                           double x) {
  const Cumulants cumulants(terms);
  std::vector<double> log10_values;
  for (const double theta : tilts) {
    log10_values.push_back((theta * x - cumulants.at(theta)) / std::numbers::ln10);
  }
  return log10_mean(log10_values);
}

}  // namespace countermark::stats
