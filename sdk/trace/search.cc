#include "trace/search.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <numbers>
#include <optional>
#include <utility>

#include "trace/tile.h"

namespace countermark::trace {
namespace {

/// The rows with the largest sums; of equal ones the first rows.
class Best {
 public:
  explicit Best(std::size_t count) : count_(count) {}

  /// What a sum must reach.
  double bar() const noexcept { return bar_; }
  /// Takes on the bar of a list that this one will be merged into.
  void start_from(const Best& other) noexcept { bar_ = other.bar_; }

  void offer(double sum, std::size_t row) {
    if (sum < bar_) return;
    heap_.push_back({sum, row});
    std::push_heap(heap_.begin(), heap_.end(), is_better);
    if (heap_.size() <= count_) return;
    std::pop_heap(heap_.begin(), heap_.end(), is_better);
    heap_.pop_back();
    bar_ = std::max(bar_, heap_.front().sum);
  }
  void merge(const Best& other) {
    for (const Entry& entry : other.heap_) offer(entry.sum, entry.row);
  }
  void append_rows(std::vector<std::size_t>& rows) const {
    for (const Entry& entry : heap_) rows.push_back(entry.row);
  }

 private:
  struct Entry {
    double sum;
    std::size_t row;
  };
  static bool is_better(const Entry& a, const Entry& b) noexcept {
    return a.sum != b.sum ? a.sum > b.sum : a.row < b.row;
  }

  std::size_t count_;
  double bar_ = -std::numeric_limits<double>::infinity();
  std::vector<Entry> heap_;
};

void sort_unique(std::vector<std::size_t>& rows) {
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
}

/// Sums of a tile's accounts, of whatever ranks them.
struct Sums {
  std::array<double, Tile::capacity> whole, response;
};

/// The sums of -log2(1 - U) up to the end of each block, for each account. A block's logarithm is
/// read off its bits, as the chord of the logarithm between powers of two: too large by 0.09 bits
/// at most.
class BlockSums {
 public:
  void add(const Factors& factors) {
    constexpr double one = 1023.0 * 0x1p52;
    const std::size_t last = sums_.size() - 1;
    sums_.emplace_back();
    for (std::size_t i = 0; i < Tile::capacity; ++i) {
      const auto bits = static_cast<double>(std::bit_cast<std::int64_t>(factors[i]));
      sums_.back()[i] = sums_[last][i] + (one - bits) * 0x1p-52;
    }
  }
  std::size_t blocks() const noexcept { return sums_.size() - 1; }

  /// Whether each account has a window of this length at the bar.
  void mark(const WindowLength& window, std::array<bool, Tile::capacity>& found) const {
    Factors largest = {};
    for (std::size_t end = window.blocks; end <= blocks(); end += window.step) {
      const Factors& upper = sums_[end];
      const Factors& lower = sums_[end - window.blocks];
      for (std::size_t i = 0; i < Tile::capacity; ++i) {
        const double sum = upper[i] - lower[i];
        largest[i] = sum > largest[i] ? sum : largest[i];
      }
    }
    const double bar = window.bar / std::numbers::ln2;
    for (std::size_t i = 0; i < Tile::capacity; ++i) found[i] |= largest[i] >= bar;
  }

 private:
  std::vector<Factors> sums_ = {Factors{}};
};

void multiply_blocks(const Tile& tile, std::span<const std::uint64_t> hashes, Products& products,
                     BlockSums& blocks) {
  alignas(64) Factors factors;
  factors.fill(1.0);
  for (std::size_t t = 0; t < hashes.size(); t += kernels::most_factors) {
    const std::size_t count = std::min(kernels::most_factors, hashes.size() - t);
    kernels::active().multiply(tile.columns(), hashes.data() + t, count, factors.data());
    products.multiply(factors);
    if (count == kernels::most_factors) blocks.add(factors);
  }
}

void sum_scores(const Search& search, const Tile& tile, Sums& sums,
                std::array<bool, Tile::capacity>& windowed) {
  const std::span<const std::uint64_t> hashes = search.layer.hashes;
  const std::size_t prefix = search.layer.in_prefix;
  Products response;
  if (search.windows.empty()) {
    multiply(tile, hashes.subspan(prefix), response);
  } else {
    BlockSums blocks;
    multiply_blocks(tile, hashes.subspan(prefix), response, blocks);
    for (const WindowLength& window : search.windows) blocks.mark(window, windowed);
  }
  Products whole = response;
  multiply(tile, hashes.first(prefix), whole);
  for (std::size_t i = 0; i < Tile::capacity; ++i) {
    sums.whole[i] = whole.about_minus_log2(i);
    sums.response[i] = response.about_minus_log2(i);
  }
}

void sum_weights(const Search& search, const Tile& tile, Sums& sums) {
  const WideLayer& layer = search.layer;
  std::array<std::int64_t, Tile::capacity> prefix = {}, response = {};
  for (std::size_t t = 0; t < layer.size(); ++t) {
    if (search.weights[t].empty()) continue;
    auto& to = t < layer.in_prefix ? prefix : response;
    kernels::active().weigh(tile.columns(), layer.hashes[t], search.weights[t].data(), to.data());
  }
  for (std::size_t i = 0; i < Tile::capacity; ++i) {
    sums.whole[i] = static_cast<double>(prefix[i] + response[i]);
    sums.response[i] = static_cast<double>(response[i]);
  }
}

}  // namespace

Shortlist search(const Search& search, const AccountKeys& keys, base::Workers& workers,
                 const Progress& progress) {
  Best best_whole(search.best), best_response(search.best);
  Shortlist shortlist;
  std::mutex mutex;
  for_ranges(keys, workers, progress, [&](std::size_t begin, std::size_t end) {
    Best whole(search.best), response(search.best);
    std::vector<std::size_t> rows;
    {
      const std::lock_guard lock(mutex);
      whole.start_from(best_whole);
      response.start_from(best_response);
    }
    for (; begin < end; begin += Tile::capacity) {
      const Tile tile(keys, begin, std::min(end, begin + Tile::capacity));
      Sums sums;
      std::array<bool, Tile::capacity> windowed = {};
      if (search.weights.empty() || !search.windows.empty()) {
        sum_scores(search, tile, sums, windowed);
      }
      if (!search.weights.empty()) sum_weights(search, tile, sums);
      for (std::size_t i = 0; i < tile.size(); ++i) {
        whole.offer(sums.whole[i], begin + i);
        response.offer(sums.response[i], begin + i);
        if (windowed[i]) rows.push_back(begin + i);
      }
    }
    const std::lock_guard lock(mutex);
    best_whole.merge(whole);
    best_response.merge(response);
    shortlist.windowed.insert(shortlist.windowed.end(), rows.begin(), rows.end());
  });
  best_whole.append_rows(shortlist.best);
  best_response.append_rows(shortlist.best);
  sort_unique(shortlist.best);
  sort_unique(shortlist.windowed);
  return shortlist;
}

std::vector<double> all_sums(const WideLayer& layer, const AccountKeys& keys,
                             base::Workers& workers, const Progress& progress) {
  std::vector<double> sums(keys.size());
  for_ranges(keys, workers, progress, [&](std::size_t begin, std::size_t end) {
    for (; begin < end; begin += Tile::capacity) {
      const Tile tile(keys, begin, std::min(end, begin + Tile::capacity));
      Products products;
      multiply(tile, layer.hashes, products);
      for (std::size_t i = 0; i < tile.size(); ++i) sums[begin + i] = products.minus_log(i);
    }
  });
  return sums;
}

}  // namespace countermark::trace
