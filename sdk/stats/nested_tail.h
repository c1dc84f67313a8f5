// The exact price of looking at a sum twice: with its first terms and without them.
#pragma once

#include <cstddef>

namespace countermark::stats {

/// log10 of the p-value of the better of two nested sums of independent Exponential(1) terms: the
/// sum of all `whole_n` of them is `whole`, that of the last `part_n` (at most whole_n) is `part`.
///
/// With m the smaller of the two tails, this is P(either tail <= m). The terms are the gaps of a
/// unit Poisson process N, a sum of n terms is at least t just if N(t) < n, and N has independent
/// increments; so with a and b the sums that have the tail m,
///
///     P = m + sum over j from part_n to whole_n - 1 of P(N(a) = j) P(N(b) - N(a) < whole_n - j)
///
/// It lies between m and 2m, the price by Bonferroni, and is close to m where the sums share most
/// of their terms.
double log10_nested_tail(std::size_t part_n, double part, std::size_t whole_n, double whole);

}  // namespace countermark::stats
