// Whether some p-values are smaller than uniform ones would be, without saying how many or by how
// much: the test for texts of which little is left.
#pragma once

#include <cstddef>
#include <span>

namespace countermark::stats {

/// The truncated goodness-of-fit statistic (Tr-GoF) of n p-values, with the Kullback-Leibler
/// divergence: the largest n K(i/n, p) over the ranks i, where p is the i-th smallest p-value or
/// 1/n if that is more, i/n > p, and K(u, v) = u ln(u/v) + (1-u) ln((1-u)/(1-v)).
///
/// The family is that of X. Li et al., "Robust detection of watermarks for large language models
/// under human edits" (2024), s = 1; they cut p-values below a bound off, here they count as the
/// bound, so that the statistic falls as any p-value grows and its null is a boundary crossing.
struct GoodnessOfFit {
  double statistic = 0.0;
  /// The rank and the p-value where the largest divergence is; 0 and 1 where there is none.
  std::size_t rank = 0;
  double level = 1.0;
};

/// Sorts `p_values`, which are in (0, 1).
GoodnessOfFit goodness_of_fit(std::span<double> p_values);

/// log10 of P(statistic >= s) for n independent uniform p-values, the far tail included, and no
/// table to simulate. Never below the truth: exact to about eight digits for n up to 256, and above
/// it by less than 0.1 (0.3 where P is above 1/100) for n up to 20,000. O(256 n).
///
/// With b_i the level where rank i reaches s, and N the counts of the p-values, the statistic
/// reaches s just if N(b_i) >= i for some i. At the last such i the count is i exactly, so that
///
///     P = sum_i P(N(b_i) = i) R_i,   R_i = 1 - sum_{j > i} P(N(b_j) = j | N(b_i) = i) R_j
///
/// and no term of P is negative: nothing cancels in the far tail.
double log10_goodness_of_fit_tail(std::size_t n, double s);

/// A lower bound of the same from the rank that reached it, at the price of one binomial tail.
double log10_goodness_of_fit_bound(std::size_t n, const GoodnessOfFit& found);

}  // namespace countermark::stats
