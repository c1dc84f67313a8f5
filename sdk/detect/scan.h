// Where in a text the mark is.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace countermark::detect {

/// A range of tokens in which scored ones are higher than by chance.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  /// Of the whole range.
  std::size_t scored = 0;
  double score = 0.0;
  /// Of the strongest window that was tried in it, paid for all windows tried.
  double log10_p = 0.0;
};

struct Scan {
  /// Of the strongest window, paid for all of them; 0 where none was tried.
  double log10_p = 0.0;
  /// What reaches the bar, if there is one, in the order of the text; they do not overlap.
  std::vector<Window> regions;
};

/// Whether a text of so many scored tokens can have parts: 64 or more.
bool is_long_enough(std::size_t scored) noexcept;

/// Tries windows of 32, 64, 128, ... scored tokens, up to half of them, each length at
/// steps of an eighth of it. Every length gets the same share of the error rate and splits
/// it over its windows, so that all regions with a p-value of at most 10^log10_bar hold together
/// at that rate (Bonferroni). A region's ends are the likeliest ones given its strength: the range
/// about the window with the largest product of (1 - t) exp(t y), 1 / (1 - t) being its mean score.
///
/// `rests` holds 1 - U of each token, NaN where it is not scored. O(n log n) at most.
/// Nothing is tried in a text that is not long enough.
Scan scan(std::span<const double> rests, std::optional<double> log10_bar);

/// Lengthens each region by the context of its first token, up to the region before: those tokens
/// were drawn in the same response, and may be scored themselves.
void include_contexts(std::span<const double> rests, std::size_t context,
                      std::vector<Window>& regions);

}  // namespace countermark::detect
