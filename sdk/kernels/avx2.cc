#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#include "kernels/exp2_series.h"
#include "kernels/kernels.h"
#include "kernels/lane_table.h"
#include "kernels/prefetch.h"
#include "prf/uniform_cells.h"

// No flags for the file: what it includes would be compiled for this machine alone and could end up
// in the whole program.
#define AVX2 __attribute__((target("avx2,fma,f16c")))

namespace countermark::kernels {
namespace {

using Type = Logits::Type;

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
constexpr std::size_t half = lanes / 2;

/// Eight logits from the i-th on.
template <Type type>
AVX2 inline __m256 load(const void* logits, std::size_t i) noexcept {
  if constexpr (type == Type::Float32) {
    return _mm256_loadu_ps(static_cast<const float*>(logits) + i);
  } else {
    const auto* at = static_cast<const std::uint16_t*>(logits) + i;
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    if constexpr (type == Type::Float16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
}

AVX2 inline float largest_of(__m256 x) noexcept {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

AVX2 inline float sum_of(__m256 x) noexcept {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/// Of eight tokens 0, 1, 4, 5 lie before 2, 3, 6, 7 in the table, so that shuffles of two vectors
/// put their halves into order.
constexpr LaneTable::Order order = {0, 2, 1, 3, 4, 5, 6};

AVX2 inline __m256i lower_halves(__m256i x, __m256i y) noexcept {
  return _mm256_castps_si256(
      _mm256_shuffle_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), 0x88));
}
AVX2 inline __m256i upper_halves(__m256i x, __m256i y) noexcept {
  return _mm256_castps_si256(
      _mm256_shuffle_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), 0xDD));
}

struct Vectors {
  __m256i k2, a1;
  /// The halves of the key that the last mix takes.
  __m256i last_low, last_high;
  __m256 scale, offset;

  AVX2 Vectors(const HashKeys& keys, Bound bound) noexcept
      : k2(_mm256_set1_epi64x(static_cast<long long>(keys.k2))),
        a1(_mm256_set1_epi64x(static_cast<long long>(keys.a1))),
        last_low(_mm256_set1_epi32(static_cast<int>(last(keys)))),
        last_high(_mm256_set1_epi32(static_cast<int>(last(keys) >> 32))),
        scale(_mm256_set1_ps(bound.scale)),
        offset(_mm256_set1_ps(bound.offset)) {}

 private:
  static std::uint64_t last(const HashKeys& keys) noexcept {
    return keys.has_account ? keys.a2 : keys.k2;
  }
};

constexpr auto prime_low = static_cast<std::uint32_t>(prf::mix_prime);
constexpr auto prime_high = static_cast<std::uint32_t>(prf::mix_prime >> 32);

/// x * P mod 2^64.
AVX2 inline __m256i times_prime(__m256i x) noexcept {
  const __m256i low = _mm256_set1_epi64x(prime_low), high = _mm256_set1_epi64x(prime_high);
  const __m256i cross =
      _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(x, 32), low), _mm256_mul_epu32(x, high));
  return _mm256_add_epi64(_mm256_mul_epu32(x, low), _mm256_slli_epi64(cross, 32));
}

/// The second half of mix, but for its last step.
AVX2 inline __m256i finish_mix(__m256i z, __m256i k2) noexcept {
  const __m256i shifted = _mm256_add_epi64(_mm256_srli_epi64(z, 35), _mm256_set1_epi64x(8));
  return times_prime(_mm256_xor_si256(_mm256_xor_si256(z, k2), shifted));
}

AVX2 inline __m256i last_step(__m256i z) noexcept {
  return _mm256_xor_si256(z, _mm256_srli_epi64(z, 28));
}

/// The first half of mix.
AVX2 inline __m256i begin_mix(__m256i x, __m256i k1) noexcept {
  const __m256i left_24 = _mm256_setr_epi8(5, 6, 7, 0, 1, 2, 3, 4, 13, 14, 15, 8, 9, 10, 11, 12, 5,
                                           6, 7, 0, 1, 2, 3, 4, 13, 14, 15, 8, 9, 10, 11, 12);
  x = _mm256_xor_si256(x, k1);
  const __m256i left_49 = _mm256_or_si256(_mm256_slli_epi64(x, 49), _mm256_srli_epi64(x, 15));
  x = _mm256_xor_si256(_mm256_xor_si256(x, left_49), _mm256_shuffle_epi8(x, left_24));
  return times_prime(x);
}

/// The upper halves of the hashes whose second half of mix begins with `x` and `y`, too small by
/// less than 2^17 modulo 2^32.
AVX2 inline __m256i upper_hash(__m256i x, __m256i y, __m256i k2_low, __m256i k2_high) noexcept {
  __m256i high = upper_halves(x, y), low = lower_halves(x, y);
  const __m256i shifted = _mm256_add_epi32(_mm256_srli_epi32(high, 3), _mm256_set1_epi32(8));
  low = _mm256_xor_si256(_mm256_xor_si256(low, k2_low), shifted);
  high = _mm256_xor_si256(high, k2_high);
  // Of the four products of 16 bits that make the upper half of low * prime_low, the largest.
  const __m256i carried = _mm256_mullo_epi32(_mm256_srli_epi32(low, 16),
                                             _mm256_set1_epi32(static_cast<int>(prime_low >> 16)));
  const __m256i across =
      _mm256_add_epi32(_mm256_mullo_epi32(high, _mm256_set1_epi32(static_cast<int>(prime_low))),
                       _mm256_mullo_epi32(low, _mm256_set1_epi32(static_cast<int>(prime_high))));
  return _mm256_add_epi32(across, carried);
}

/// The lanes 0..7 or 8..15 of one block that hold a token within the bound.
template <Type type, bool has_account>
AVX2 inline std::uint32_t race_half(const void* logits, std::size_t i, std::uint64_t base,
                                    const std::uint64_t* table, const Vectors& v, __m256& largest,
                                    __m256& unordered) noexcept {
  const __m256i vbase = _mm256_set1_epi64x(static_cast<long long>(base));
  __m256i best = _mm256_setzero_si256();
  __m256 group = _mm256_set1_ps(minus_infinity);
#pragma GCC unroll 8
  for (std::size_t t = 0; t < block_size; t += lanes) {
    const auto* entries = reinterpret_cast<const __m256i*>(table + t);
    __m256i x = _mm256_add_epi64(vbase, _mm256_load_si256(entries));
    __m256i y = _mm256_add_epi64(vbase, _mm256_load_si256(entries + 1));
    if constexpr (has_account) {
      x = begin_mix(last_step(finish_mix(x, v.k2)), v.a1);
      y = begin_mix(last_step(finish_mix(y, v.k2)), v.a1);
    }
    best = _mm256_max_epu32(best, upper_hash(x, y, v.last_low, v.last_high));
    const __m256 logit = load<type>(logits, i + t);
    group = _mm256_max_ps(logit, group);  // a NaN gives way to `group`
    unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(logit, logit, _CMP_UNORD_Q));
  }
  largest = _mm256_max_ps(largest, group);
  const __m256i rest = _mm256_xor_si256(best, _mm256_set1_epi32(-1));
  const __m256 units = _mm256_cvtepi32_ps(_mm256_srli_epi32(rest, 1));
  const __m256 bits =
      _mm256_min_ps(_mm256_fmadd_ps(group, v.scale, v.offset), _mm256_set1_ps(254.0F * 0x1p23F));
  // What upper_hash() may lack, in units of two.
  const __m256 limit =
      _mm256_add_ps(_mm256_castsi256_ps(_mm256_cvtps_epi32(bits)), _mm256_set1_ps(0x1p16F));
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(units, limit, _CMP_LE_OQ)));
}

template <Type type, bool has_account>
AVX2 std::size_t race_row(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits,
                          Seen& seen) {
  const Vectors v(keys, bound);
  __m256 largest = _mm256_set1_ps(seen.largest), unordered = _mm256_setzero_ps();
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count;) {
    const std::size_t id = blocks.first + block * block_size;
    const LaneTable table(keys.k1, id & ~(span_size - 1), order);
    const std::size_t end =
        std::min(blocks.count, block + (span_size - id % span_size) / block_size);
    for (; block < end; ++block) {
      const std::size_t i = block * block_size;
      prefetch_block<type>(blocks.logits, i);
      const std::uint64_t base = table.base((blocks.first + i) % span_size);
      const std::uint32_t low = race_half<type, has_account>(blocks.logits, i, base, table.lanes(),
                                                             v, largest, unordered);
      const std::uint32_t high = race_half<type, has_account>(
          blocks.logits, i + half, base, table.lanes() + half, v, largest, unordered);
      const std::uint32_t found = low | (high << half);
      hits[count] = {static_cast<std::uint32_t>(block), found};
      count += found != 0;
    }
  }
  seen.largest = largest_of(largest);
  seen.has_nan |= _mm256_movemask_ps(unordered) != 0;
  return count;
}

template <Type type>
AVX2 std::size_t race(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits,
                      Seen& seen) {
  return keys.has_account ? race_row<type, true>(blocks, keys, bound, hits, seen)
                          : race_row<type, false>(blocks, keys, bound, hits, seen);
}

template <Type type>
AVX2 void survey(const Blocks& blocks, float* maxima, Seen& seen) {
  __m256 largest = _mm256_set1_ps(seen.largest), unordered = _mm256_setzero_ps();
  for (std::size_t block = 0; block < blocks.count; ++block) {
    prefetch_block<type>(blocks.logits, block * block_size);
    __m256 here = _mm256_set1_ps(minus_infinity);
    for (std::size_t t = 0; t < block_size; t += lanes) {
      const __m256 x = load<type>(blocks.logits, block * block_size + t);
      const __m256 y = load<type>(blocks.logits, block * block_size + t + half);
      unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(x, y, _CMP_UNORD_Q));
      here = _mm256_max_ps(x, here);
      here = _mm256_max_ps(y, here);
    }
    maxima[block] = largest_of(here);
    largest = _mm256_max_ps(largest, here);
  }
  seen.largest = largest_of(largest);
  seen.has_nan |= _mm256_movemask_ps(unordered) != 0;
}

template <Type type>
AVX2 std::size_t collect(const Blocks& blocks, const float* maxima, float least, TokenId* ids) {
  const __m256 bound = _mm256_set1_ps(least);
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    if (!(maxima[block] >= least)) continue;
    for (std::size_t t = 0; t < block_size; t += half) {
      const std::size_t i = block * block_size + t;
      const __m256 found = _mm256_cmp_ps(load<type>(blocks.logits, i), bound, _CMP_GE_OQ);
      for (auto left = static_cast<unsigned>(_mm256_movemask_ps(found)); left != 0;
           left &= left - 1) {
        ids[count++] =
            static_cast<TokenId>(blocks.first + i + static_cast<std::size_t>(__builtin_ctz(left)));
      }
    }
  }
  return count;
}

/// 2^t for t in -126..0: 2^f by its series about 0, |f| <= 1/2, times a power of two.
AVX2 inline __m256 exp2(__m256 t) noexcept {
  const __m256 whole = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 f = _mm256_sub_ps(t, whole);
  __m256 p = _mm256_set1_ps(exp2_series[6]);
  for (int k = 5; k >= 0; --k) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(exp2_series[k]));
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
  return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

template <Type type>
AVX2 Sums sum(const Blocks& blocks, float largest, float scale, float below) {
  const __m256 shift = _mm256_set1_ps(largest), factor = _mm256_set1_ps(scale);
  const __m256 floor = _mm256_set1_ps(-126.0F);
  Sums sums;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    __m256 weights = _mm256_setzero_ps(), exponents = weights;
    for (std::size_t t = 0; t < block_size; t += half) {
      const __m256 x = load<type>(blocks.logits, block * block_size + t);
      const __m256 exponent = _mm256_max_ps(_mm256_mul_ps(_mm256_sub_ps(x, shift), factor), floor);
      const __m256 counts = _mm256_cmp_ps(x, _mm256_set1_ps(below), _CMP_LT_OQ);
      const __m256 weight = _mm256_and_ps(counts, exp2(exponent));
      weights = _mm256_add_ps(weights, weight);
      exponents = _mm256_fmadd_ps(weight, exponent, exponents);
    }
    sums.weights += static_cast<double>(sum_of(weights));
    sums.weighted_exponents += static_cast<double>(sum_of(exponents));
  }
  return sums;
}

template <Type type>
constexpr RowKernels row_kernels = {race<type>, survey<type>, collect<type>, sum<type>};

AVX2 void hash(const TokenId* tokens, const std::uint64_t* k1, const std::uint64_t* k2,
               const HashKeys& account, std::size_t size, std::uint64_t* hashes) {
  const __m256i a1 = _mm256_set1_epi64x(static_cast<long long>(account.a1));
  const __m256i a2 = _mm256_set1_epi64x(static_cast<long long>(account.a2));
  std::size_t i = 0;
  for (; i + 4 <= size; i += 4) {
    const __m128i ids = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tokens + i));
    const __m256i x = _mm256_slli_epi64(_mm256_cvtepu32_epi64(ids), 32);
    const __m256i key = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(k1 + i));
    const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(k2 + i));
    __m256i h = last_step(finish_mix(begin_mix(x, key), other));
    if (account.has_account) h = last_step(finish_mix(begin_mix(h, a1), a2));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(hashes + i), h);
  }
  scalar_table.hash(tokens + i, k1 + i, k2 + i, account, size - i, hashes + i);
}

/// 1 - U of four accounts, from linear(hash) and their keys.
AVX2 inline __m256d rests_of(__m256i hash, __m256i linear_a1, __m256i a2) noexcept {
  const __m256i z = last_step(finish_mix(times_prime(_mm256_xor_si256(hash, linear_a1)), a2));
  // The last 52 bits of ~z >> 12 as the fraction of a number in [1, 2), whose distance to
  // 1 - 2^-53 is exact.
  const __m256i one = _mm256_set1_epi64x(0x3FF0000000000000);
  const __m256i fraction = _mm256_set1_epi64x(0x000FFFFFFFFFFFFF);
  const __m256i bits =
      _mm256_or_si256(one, _mm256_andnot_si256(_mm256_srli_epi64(z, 12), fraction));
  return _mm256_sub_pd(_mm256_castsi256_pd(bits), _mm256_set1_pd(1.0 - 0x1p-53));
}

AVX2 inline __m256i load_four(const std::uint64_t* from) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

AVX2 void multiply(const AccountColumns& accounts, const std::uint64_t* hashes, std::size_t size,
                   double* products) {
  constexpr std::size_t vectors = 2;
  for (std::size_t i = 0; i < accounts.count; i += 4 * vectors) {
    __m256i a1[vectors], a2[vectors];
    __m256d product[vectors];
    for (std::size_t v = 0; v < vectors; ++v) {
      a1[v] = load_four(accounts.linear_a1 + i + 4 * v);
      a2[v] = load_four(accounts.a2 + i + 4 * v);
      product[v] = _mm256_set1_pd(1.0);
    }
    for (std::size_t t = 0; t < size; ++t) {
      const __m256i hash = _mm256_set1_epi64x(static_cast<long long>(prf::linear(hashes[t])));
      for (std::size_t v = 0; v < vectors; ++v) {
        product[v] = _mm256_mul_pd(product[v], rests_of(hash, a1[v], a2[v]));
      }
    }
    for (std::size_t v = 0; v < vectors; ++v) _mm256_storeu_pd(products + i + 4 * v, product[v]);
  }
}

AVX2 void weigh(const AccountColumns& accounts, std::uint64_t hash, const std::int32_t* weights,
                std::int64_t* sums) {
  const __m256i linear = _mm256_set1_epi64x(static_cast<long long>(prf::linear(hash)));
  const __m256i first = _mm256_set1_epi64x(static_cast<long long>(prf::uniform_key(0x1p-53)));
  const __m256i last = _mm256_set1_epi64x(static_cast<long long>(prf::uniform_cells - 1));
  for (std::size_t i = 0; i < accounts.count; i += 4) {
    const __m256d rest =
        rests_of(linear, load_four(accounts.linear_a1 + i), load_four(accounts.a2 + i));
    const __m256d is_low = _mm256_cmp_pd(rest, _mm256_set1_pd(0.5), _CMP_GT_OQ);
    const __m256d side = _mm256_blendv_pd(rest, _mm256_sub_pd(_mm256_set1_pd(1.0), rest), is_low);
    const __m256i high = _mm256_sub_epi64(
        _mm256_srli_epi64(_mm256_castpd_si256(side), 52 - prf::uniform_cell_bits), first);
    const __m256i cell =
        _mm256_blendv_epi8(high, _mm256_sub_epi64(last, high), _mm256_castpd_si256(is_low));
    const __m256i weight = _mm256_cvtepi32_epi64(_mm256_i64gather_epi32(weights, cell, 4));
    auto* const sum = reinterpret_cast<__m256i*>(sums + i);
    _mm256_storeu_si256(sum, _mm256_add_epi64(_mm256_loadu_si256(sum), weight));
  }
}

}  // namespace

const Table avx2_table{
    "avx2",
    {row_kernels<Type::Float32>, row_kernels<Type::Float16>, row_kernels<Type::BFloat16>},
    hash,
    multiply,
    weigh};

}  // namespace countermark::kernels

#endif
