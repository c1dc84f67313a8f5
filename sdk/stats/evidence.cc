#include "stats/evidence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

namespace countermark::stats {

double log10_exponential_e_value(std::size_t n, double s) {
  constexpr std::size_t grid = 12;
  std::array<double, grid> terms = {};
  for (std::size_t k = 0; k < grid; ++k) {
    const double theta = static_cast<double>(k + 1) / 16.0;
    terms[k] = (static_cast<double>(n) * std::log1p(-theta) + theta * s) / std::numbers::ln10;
  }
  return log10_mean(terms);
}

double log10_sum(std::span<const double> log10_values) {
  // Scaled by the largest, which may be far beyond what a double can hold.
  const double largest = *std::max_element(log10_values.begin(), log10_values.end());
  double sum = 0.0;
  for (const double value : log10_values) sum += std::pow(10.0, value - largest);
  return largest + std::log10(sum);
}

double log10_mean(std::span<const double> log10_values) {
  return log10_sum(log10_values) - std::log10(static_cast<double>(log10_values.size()));
}

std::vector<double> log10_holm(std::span<const double> log10_p) {
  std::vector<std::size_t> order(log10_p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return log10_p[a] < log10_p[b]; });
  std::vector<double> adjusted(log10_p.size());
  double running = -HUGE_VAL;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const double factor = std::log10(static_cast<double>(order.size() - rank));
    running = std::max(running, std::min(0.0, log10_p[order[rank]] + factor));
    adjusted[order[rank]] = running;
  }
  return adjusted;
}

std::size_t e_bh_discoveries(std::span<const double> log10_e, std::size_t tested, double rate) {
  // The most of them that are all at least tested / (rate * how many they are).
  const double all = std::log10(static_cast<double>(tested)) - std::log10(rate);
  for (std::size_t count = log10_e.size(); count > 0; --count) {
    if (log10_e[count - 1] >= all - std::log10(static_cast<double>(count))) return count;
  }
  return 0;
}

}  // namespace countermark::stats
