#include "detect/scan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>

#include "stats/gamma_tail.h"

namespace countermark::detect {
namespace {

constexpr std::size_t shortest = 32;
constexpr std::size_t steps_per_window = 8;

/// The scored tokens of a text: where they are, and the sum of the scores before each.
struct Scores {
  std::vector<std::size_t> positions;
  std::vector<double> sums = {0.0};

  explicit Scores(std::span<const double> rests) {
    for (std::size_t i = 0; i < rests.size(); ++i) {
      if (std::isnan(rests[i])) continue;
      positions.push_back(i);
      sums.push_back(sums.back() - std::log(rests[i]));
    }
  }
  std::size_t size() const noexcept { return positions.size(); }
  double sum(std::size_t begin, std::size_t end) const noexcept { return sums[end] - sums[begin]; }
};

/// A range of scored tokens.
struct Range {
  std::size_t begin, end;
};

struct Candidate {
  Range range;
  double log10_p;
};

/// The end of the likeliest range from the scored token `from` on, in the direction of `step`, not
/// beyond `limit`.
std::size_t likeliest_end(const Scores& scores, std::size_t from, std::ptrdiff_t step,
                          std::size_t limit, double theta) {
  // What lies behind so much evidence against the range is no part of it.
  constexpr double hopeless = 20.0;
  const double per_token = std::log1p(-theta);
  double sum = 0.0, best = 0.0;
  std::size_t end = from;
  for (std::size_t i = from; i != limit && sum > best - hopeless;) {
    const std::size_t token = step > 0 ? i : i - 1;
    sum += theta * scores.sum(token, token + 1) + per_token;
    i = step > 0 ? i + 1 : i - 1;
    if (sum > best) {
      best = sum;
      end = i;
    }
  }
  return end;
}

/// Moves the ends of a window to where they are likeliest, within `gap`.
Range refine(const Scores& scores, Range window, Range gap) {
  const std::size_t middle = window.begin + (window.end - window.begin) / 2;
  for (int round = 0; round < 3; ++round) {
    const double mean =
        scores.sum(window.begin, window.end) / static_cast<double>(window.end - window.begin);
    const double theta = std::clamp(1.0 - 1.0 / mean, 0.1, 0.8);
    const Range better = {likeliest_end(scores, middle, -1, gap.begin, theta),
                          likeliest_end(scores, middle, +1, gap.end, theta)};
    // A window that its own middle speaks against stays as it is.
    if (better.end - better.begin < shortest / 2) break;
    window = better;
  }
  return window;
}

}  // namespace

bool is_long_enough(std::size_t scored) noexcept { return scored >= 2 * shortest; }

Scan scan(std::span<const double> rests, std::optional<double> log10_bar) {
  const Scores scores(rests);
  const std::size_t n = scores.size();
  Scan result;
  if (!is_long_enough(n)) return result;

  std::vector<std::size_t> lengths;
  for (std::size_t length = shortest; 2 * length <= n; length *= 2) lengths.push_back(length);
  std::vector<Candidate> candidates;
  for (const std::size_t length : lengths) {
    const std::size_t stride = length / steps_per_window;
    const std::size_t windows = (n - length) / stride + 1;
    const double price = std::log10(static_cast<double>(lengths.size() * windows));
    const auto size = static_cast<double>(length);
    double largest = 0.0;
    for (std::size_t begin = 0; begin + length <= n; begin += stride) {
      largest = std::max(largest, scores.sum(begin, begin + length));
    }
    const double log10_p = stats::log10_gamma_tail(size, largest) + price;
    result.log10_p = std::min(result.log10_p, log10_p);
    if (!log10_bar || log10_p > *log10_bar) continue;
    const double enough = stats::inverse_log10_gamma_tail(size, std::min(0.0, *log10_bar - price));
    for (std::size_t begin = 0; begin + length <= n; begin += stride) {
      const double sum = scores.sum(begin, begin + length);
      if (sum < enough) continue;
      candidates.push_back({{begin, begin + length}, stats::log10_gamma_tail(size, sum) + price});
    }
  }

  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.log10_p < b.log10_p; });
  // By where they begin, with where they end.
  std::map<std::size_t, std::size_t> taken;
  for (const Candidate& candidate : candidates) {
    const Range window = candidate.range;
    const auto after = taken.lower_bound(window.begin);
    Range gap = {0, n};
    if (after != taken.end()) gap.end = after->first;
    if (after != taken.begin()) gap.begin = std::prev(after)->second;
    if (window.begin < gap.begin || window.end > gap.end) continue;
    const Range range = refine(scores, window, gap);
    taken.emplace(range.begin, range.end);
    result.regions.push_back({scores.positions[range.begin], scores.positions[range.end - 1] + 1,
                              range.end - range.begin, scores.sum(range.begin, range.end),
                              std::min(0.0, candidate.log10_p)});
  }
  std::sort(result.regions.begin(), result.regions.end(),
            [](const Window& a, const Window& b) { return a.begin < b.begin; });
  return result;
}

void include_contexts(std::span<const double> rests, std::size_t context,
                      std::vector<Window>& regions) {
  std::size_t before = 0;
  for (Window& region : regions) {
    const std::size_t first = region.begin - std::min(context, region.begin - before);
    for (std::size_t i = first; i < region.begin; ++i) {
      if (std::isnan(rests[i])) continue;
      ++region.scored;
      region.score -= std::log(rests[i]);
    }
    region.begin = first;
    before = region.end;
  }
}

}  // namespace countermark::detect
