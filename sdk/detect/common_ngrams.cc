#include "detect/common_ngrams.h"

#include <algorithm>

namespace countermark::detect {

std::vector<std::uint64_t> CommonNgrams::find(std::span<const std::span<const TokenId>> documents,
                                              std::span<const std::size_t> widths,
                                              std::size_t least) {
  std::vector<std::uint64_t> all;
  for (const std::span<const TokenId> document : documents) {
    const auto begin = static_cast<std::ptrdiff_t>(all.size());
    for (const std::size_t width : widths) {
      for (std::size_t end = width + 1; end <= document.size(); ++end) {
        all.push_back(marks::context_hash(document.subspan(end - width - 1, width + 1)));
      }
    }
    // Once for each document.
    std::sort(all.begin() + begin, all.end());
    all.erase(std::unique(all.begin() + begin, all.end()), all.end());
  }
  std::sort(all.begin(), all.end());
  std::vector<std::uint64_t> common;
  for (auto first = all.begin(); first != all.end();) {
    const auto last = std::upper_bound(first, all.end(), *first);
    if (static_cast<std::size_t>(last - first) >= least) common.push_back(*first);
    first = last;
  }
  return common;
}

}  // namespace countermark::detect
