#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/kernels.h"
#include "kernels/rows.h"
#include "prf/mix.h"
#include "prf/uniform_cells.h"

namespace countermark::kernels {
namespace {

std::uint64_t hash_of(const HashKeys& keys, std::size_t token) noexcept {
  const std::uint64_t h = prf::mix(keys.k1, keys.k2, static_cast<std::uint64_t>(token) << 32);
  return keys.has_account ? prf::mix(keys.a1, keys.a2, h) : h;
}

void see(float logit, Seen& seen) noexcept {
  seen.has_nan |= logit != logit;
  seen.largest = std::max(seen.largest, logit);  // a NaN compares false and is passed over
}

template <Logits::Type type>
std::size_t race(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits, Seen& seen) {
  const Row<type> row(blocks.logits);
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    std::uint32_t found = 0;
    for (std::size_t t = 0; t < block_size; ++t) {
      const std::size_t i = block * block_size + t;
      const float logit = row[i];
      see(logit, seen);
      const double bits = static_cast<double>(logit) * static_cast<double>(bound.scale) +
                          static_cast<double>(bound.offset);
      // The exponent of the largest float; less than 1 is no bound that 1 - U can be within.
      constexpr double most = 254.0 * 0x1p23;
      if (!(bits >= 1.0)) continue;
      const auto limit = std::bit_cast<float>(static_cast<std::int32_t>(std::min(bits, most)));
      const std::uint64_t h = hash_of(keys, blocks.first + i);
      const auto units = static_cast<float>(static_cast<std::int32_t>(~h >> 33));
      if (units <= limit) found |= 1U << (t % lanes);
    }
    if (found != 0) hits[count++] = {static_cast<std::uint32_t>(block), found};
  }
  return count;
}

template <Logits::Type type>
void survey(const Blocks& blocks, float* maxima, Seen& seen) {
  const Row<type> row(blocks.logits);
  for (std::size_t block = 0; block < blocks.count; ++block) {
    Seen here;
    for (std::size_t t = 0; t < block_size; ++t) see(row[block * block_size + t], here);
    maxima[block] = here.largest;
    seen.has_nan |= here.has_nan;
    seen.largest = std::max(seen.largest, here.largest);
  }
}

template <Logits::Type type>
std::size_t collect(const Blocks& blocks, const float* maxima, float least, TokenId* ids) {
  const Row<type> row(blocks.logits);
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    if (!(maxima[block] >= least)) continue;
    for (std::size_t t = 0; t < block_size; ++t) {
      const std::size_t i = block * block_size + t;
      if (row[i] >= least) ids[count++] = static_cast<TokenId>(blocks.first + i);
    }
  }
  return count;
}

template <Logits::Type type>
Sums sum(const Blocks& blocks, float largest, float scale, float below) {
  const Row<type> row(blocks.logits);
  Sums sums;
  for (std::size_t i = 0; i < blocks.count * block_size; ++i) {
    if (!(row[i] < below)) continue;
    const double t = std::max(-126.0, static_cast<double>(scale) * (static_cast<double>(row[i]) -
                                                                    static_cast<double>(largest)));
    const double weight = std::exp2(t);
    sums.weights += weight;
    sums.weighted_exponents += weight * t;
  }
  return sums;
}

template <Logits::Type type>
constexpr RowKernels row_kernels = {race<type>, survey<type>, collect<type>, sum<type>};

void hash(const TokenId* tokens, const std::uint64_t* k1, const std::uint64_t* k2,
          const HashKeys& account, std::size_t size, std::uint64_t* hashes) {
  HashKeys keys = account;
  for (std::size_t i = 0; i < size; ++i) {
    keys.k1 = k1[i];
    keys.k2 = k2[i];
    hashes[i] = hash_of(keys, static_cast<std::uint32_t>(tokens[i]));
  }
}

/// 1 - U at a position, whose token hashes to `hash` before the account's own mix.
double rest_of(const AccountColumns& accounts, std::size_t i, std::uint64_t hash) noexcept {
  return prf::one_minus_uniform(
      prf::mix_linear(prf::linear(hash) ^ accounts.linear_a1[i], accounts.a2[i]));
}

void multiply(const AccountColumns& accounts, const std::uint64_t* hashes, std::size_t size,
              double* products) {
  for (std::size_t i = 0; i < accounts.count; ++i) {
    products[i] = 1.0;
    for (std::size_t t = 0; t < size; ++t) products[i] *= rest_of(accounts, i, hashes[t]);
  }
}

void weigh(const AccountColumns& accounts, std::uint64_t hash, const std::int32_t* weights,
           std::int64_t* sums) {
  for (std::size_t i = 0; i < accounts.count; ++i) {
    sums[i] += weights[prf::uniform_cell(rest_of(accounts, i, hash))];
  }
}

}  // namespace

const Table scalar_table{"scalar",
                         {row_kernels<Logits::Type::Float32>, row_kernels<Logits::Type::Float16>,
                          row_kernels<Logits::Type::BFloat16>},
                         hash,
                         multiply,
                         weigh};

}  // namespace countermark::kernels
