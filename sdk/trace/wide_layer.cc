#include "trace/wide_layer.h"

#include <algorithm>
#include <array>

#include "kernels/kernels.h"
#include "marks/text_walk.h"
#include "prf/mix.h"

namespace countermark::trace {

WideLayer WideLayer::part(std::size_t begin, std::size_t end) const {
  const auto first = std::lower_bound(positions.begin(), positions.end(), begin);
  const auto last = std::lower_bound(first, positions.end(), end);
  WideLayer layer;
  layer.positions.assign(first, last);
  layer.hashes.assign(hashes.begin() + (first - positions.begin()),
                      hashes.begin() + (last - positions.begin()));
  return layer;
}

std::vector<double> WideLayer::rests(const std::optional<keys::AccountKey>& account) const {
  std::vector<double> rests;
  rests.reserve(hashes.size());
  for (const std::uint64_t hash : hashes) {
    rests.push_back(
        prf::one_minus_uniform(account ? prf::mix(account->a1, account->a2, hash) : hash));
  }
  return rests;
}

WideLayer wide_layer_of(const marks::Countermark1& mark, std::span<const TokenId> tokens) {
  constexpr std::size_t piece_size = marks::TextWalk::piece_size;
  std::array<TokenId, piece_size> scored = {};
  std::array<std::uint64_t, piece_size> k1 = {}, k2 = {}, hashes = {};
  WideLayer layer;
  std::size_t begin = 0;
  marks::TextWalk walk(mark, tokens);
  for (auto places = walk.next(); !places.empty(); places = walk.next()) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i].layer != marks::Layer::Wide) continue;
      scored[count] = tokens[begin + i];
      k1[count] = places[i].seed.k1;
      k2[count] = places[i].seed.k2;
      layer.positions.push_back(begin + i);
      layer.in_prefix += mark.parameters().in_free_prefix(begin + i);
      ++count;
    }
    kernels::active().hash(scored.data(), k1.data(), k2.data(), {}, count, hashes.data());
    layer.hashes.insert(layer.hashes.end(), hashes.begin(), hashes.begin() + count);
    begin += places.size();
  }
  return layer;
}

}  // namespace countermark::trace
