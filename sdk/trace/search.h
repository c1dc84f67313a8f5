// All accounts against one text: who is worth a second look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/workers.h"
#include "countermark/tracer.h"
#include "trace/account_keys.h"
#include "trace/wide_layer.h"

namespace countermark::trace {

/// Windows of one length over the positions after the free prefix.
struct WindowLength {
  /// In blocks of kernels::most_factors positions.
  std::size_t blocks;
  std::size_t step;
  /// The least sum of scores that is of interest.
  double bar;
};

struct Search {
  const WideLayer& layer;
  /// For each position, what a language model makes of a cell of U; empty tables say nothing. No
  /// tables at all: the sum of the scores decides.
  std::span<const std::span<const std::int32_t>> weights = {};
  std::span<const WindowLength> windows = {};
  /// How many accounts are wanted, by each of two sums: with the free prefix and without it.
  std::size_t best = 64;
};

/// Rows of accounts, ascending.
struct Shortlist {
  /// Those with the largest sums, to 0.01 of a bit.
  std::vector<std::size_t> best;
  /// Those with a window at the bar, and perhaps some a little below it.
  std::vector<std::size_t> windowed;
};

Shortlist search(const Search& search, const AccountKeys& keys, base::Workers& workers,
                 const Progress& progress);

/// Every account's sum of scores over the whole layer.
std::vector<double> all_sums(const WideLayer& layer, const AccountKeys& keys,
                             base::Workers& workers, const Progress& progress);

}  // namespace countermark::trace
