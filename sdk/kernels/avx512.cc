#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own AVX-512 header (its bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include <algorithm>

#include "kernels/exp2_series.h"
#include "kernels/kernels.h"
#include "kernels/lane_table.h"
#include "kernels/prefetch.h"
#include "prf/uniform_cells.h"

// No flags for the file: what it includes would be compiled for this machine alone and could end up
// in the whole program.
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")))

namespace countermark::kernels {
namespace {

using Type = Logits::Type;

/// Sixteen logits from the i-th on.
template <Type type>
AVX512 inline __m512 load(const void* logits, std::size_t i) noexcept {
  if constexpr (type == Type::Float32) {
    return _mm512_loadu_ps(static_cast<const float*>(logits) + i);
  } else {
    const auto* at = static_cast<const std::uint16_t*>(logits) + i;
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    if constexpr (type == Type::Float16) return _mm512_cvtph_ps(bits);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
}

/// The second half of mix, but for its last step, which leaves the upper half alone.
AVX512 inline __m512i finish_mix(__m512i z, __m512i k2) noexcept {
  constexpr int xor3 = 0x96;
  const __m512i shifted = _mm512_add_epi64(_mm512_srli_epi64(z, 35), _mm512_set1_epi64(8));
  return _mm512_mullo_epi64(_mm512_ternarylogic_epi64(z, shifted, k2, xor3),
                            _mm512_set1_epi64(static_cast<long long>(prf::mix_prime)));
}

AVX512 inline __m512i last_step(__m512i z) noexcept {
  return _mm512_xor_epi64(z, _mm512_srli_epi64(z, 28));
}

/// mix of `x`, but for its last step.
AVX512 inline __m512i begin_and_finish_mix(__m512i x, __m512i k1, __m512i k2) noexcept {
  constexpr int xor3 = 0x96;
  x = _mm512_xor_epi64(x, k1);
  x = _mm512_ternarylogic_epi64(x, _mm512_rol_epi64(x, 49), _mm512_rol_epi64(x, 24), xor3);
  x = _mm512_mullo_epi64(x, _mm512_set1_epi64(static_cast<long long>(prf::mix_prime)));
  return finish_mix(x, k2);
}

struct Vectors {
  __m512i k2, a1, a2;
  __m512 scale, offset;
};

/// The lanes of one block that hold a token within the bound.
template <Type type, bool has_account>
AVX512 inline std::uint32_t race_block(const void* logits, std::size_t i, std::uint64_t base,
                                       const std::uint64_t* table, const Vectors& v,
                                       __m512& largest, __mmask16& ordered) noexcept {
  const __m512i vbase = _mm512_set1_epi64(static_cast<long long>(base));
  __m512i even = _mm512_setzero_si512(), odd = even;
  __m512 group = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  __m512 previous = group;
#pragma GCC unroll 8
  for (std::size_t t = 0; t < block_size; t += lanes) {
    __m512i low = finish_mix(_mm512_add_epi64(vbase, _mm512_load_si512(table + t)), v.k2);
    __m512i high = finish_mix(_mm512_add_epi64(vbase, _mm512_load_si512(table + t + 8)), v.k2);
    if constexpr (has_account) {
      low = begin_and_finish_mix(last_step(low), v.a1, v.a2);
      high = begin_and_finish_mix(last_step(high), v.a1, v.a2);
    }
    even = _mm512_max_epu64(even, low);
    odd = _mm512_max_epu64(odd, high);
    const __m512 x = load<type>(logits, i + t);
    group = _mm512_max_ps(x, group);  // a NaN gives way to `group`
    if ((t / lanes) % 2 == 1) ordered = _mm512_mask_cmp_ps_mask(ordered, previous, x, _CMP_ORD_Q);
    previous = x;
  }
  largest = _mm512_max_ps(largest, group);
  const __m512i upper =
      _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  const __m512i hash = _mm512_permutex2var_epi32(even, upper, odd);
  const __m512i ones = _mm512_set1_epi32(-1);
  const __m512 units = _mm512_cvtepi32_ps(_mm512_srli_epi32(_mm512_xor_si512(hash, ones), 1));
  const __m512 bits =
      _mm512_min_ps(_mm512_fmadd_ps(group, v.scale, v.offset), _mm512_set1_ps(254.0F * 0x1p23F));
  return _mm512_cmp_ps_mask(units, _mm512_castsi512_ps(_mm512_cvtps_epi32(bits)), _CMP_LE_OQ);
}

template <Type type, bool has_account>
AVX512 std::size_t race_row(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits,
                            Seen& seen) {
  const Vectors v = {_mm512_set1_epi64(static_cast<long long>(keys.k2)),
                     _mm512_set1_epi64(static_cast<long long>(keys.a1)),
                     _mm512_set1_epi64(static_cast<long long>(keys.a2)),
                     _mm512_set1_ps(bound.scale), _mm512_set1_ps(bound.offset)};
  __m512 largest = _mm512_set1_ps(seen.largest);
  __mmask16 ordered = 0xFFFF;
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count;) {
    const std::size_t id = blocks.first + block * block_size;
    const LaneTable table(keys.k1, id & ~(span_size - 1), LaneTable::Order{0, 1, 2, 3, 4, 5, 6});
    const std::size_t end =
        std::min(blocks.count, block + (span_size - id % span_size) / block_size);
    for (; block < end; ++block) {
      const std::size_t i = block * block_size;
      prefetch_block<type>(blocks.logits, i);
      const std::uint32_t found = race_block<type, has_account>(
          blocks.logits, i, table.base((blocks.first + i) % span_size), table.lanes(), v, largest,
          ordered);
      hits[count] = {static_cast<std::uint32_t>(block), found};
      count += found != 0;
    }
  }
  seen.largest = _mm512_reduce_max_ps(largest);
  seen.has_nan |= ordered != 0xFFFF;
  return count;
}

template <Type type>
AVX512 std::size_t race(const Blocks& blocks, const HashKeys& keys, Bound bound, Hit* hits,
                        Seen& seen) {
  return keys.has_account ? race_row<type, true>(blocks, keys, bound, hits, seen)
                          : race_row<type, false>(blocks, keys, bound, hits, seen);
}

template <Type type>
AVX512 void survey(const Blocks& blocks, float* maxima, Seen& seen) {
  __m512 largest = _mm512_set1_ps(seen.largest);
  __mmask16 ordered = 0xFFFF;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    prefetch_block<type>(blocks.logits, block * block_size);
    __m512 here = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    for (std::size_t t = 0; t < block_size; t += 2 * lanes) {
      const __m512 x = load<type>(blocks.logits, block * block_size + t);
      const __m512 y = load<type>(blocks.logits, block * block_size + t + lanes);
      ordered = _mm512_mask_cmp_ps_mask(ordered, x, y, _CMP_ORD_Q);
      here = _mm512_max_ps(x, here);
      here = _mm512_max_ps(y, here);
    }
    maxima[block] = _mm512_reduce_max_ps(here);
    largest = _mm512_max_ps(largest, here);
  }
  seen.largest = _mm512_reduce_max_ps(largest);
  seen.has_nan |= ordered != 0xFFFF;
}

template <Type type>
AVX512 std::size_t collect(const Blocks& blocks, const float* maxima, float least, TokenId* ids) {
  const __m512 bound = _mm512_set1_ps(least);
  const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    if (!(maxima[block] >= least)) continue;
    for (std::size_t t = 0; t < block_size; t += lanes) {
      const std::size_t i = block * block_size + t;
      const __mmask16 found = _mm512_cmp_ps_mask(load<type>(blocks.logits, i), bound, _CMP_GE_OQ);
      const __m512i id =
          _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(blocks.first + i)), steps);
      _mm512_mask_compressstoreu_epi32(ids + count, found, id);
      count += static_cast<std::size_t>(__builtin_popcount(found));
    }
  }
  return count;
}

/// 2^t for t in -126..0: 2^f by its series about 0, |f| <= 1/2, times a power of two.
AVX512 inline __m512 exp2(__m512 t) noexcept {
  const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(t, whole);
  __m512 p = _mm512_set1_ps(exp2_series[6]);
  for (int k = 5; k >= 0; --k) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(exp2_series[k]));
  return _mm512_scalef_ps(p, whole);
}

template <Type type>
AVX512 Sums sum(const Blocks& blocks, float largest, float scale, float below) {
  const __m512 shift = _mm512_set1_ps(largest), factor = _mm512_set1_ps(scale);
  const __m512 floor = _mm512_set1_ps(-126.0F);
  Sums sums;
  for (std::size_t block = 0; block < blocks.count; ++block) {
    __m512 weights = _mm512_setzero_ps(), exponents = weights;
#pragma GCC unroll 8
    for (std::size_t t = 0; t < block_size; t += lanes) {
      const __m512 x = load<type>(blocks.logits, block * block_size + t);
      const __m512 exponent = _mm512_max_ps(_mm512_mul_ps(_mm512_sub_ps(x, shift), factor), floor);
      const __mmask16 counts = _mm512_cmp_ps_mask(x, _mm512_set1_ps(below), _CMP_LT_OQ);
      const __m512 weight = _mm512_maskz_mov_ps(counts, exp2(exponent));
      weights = _mm512_add_ps(weights, weight);
      exponents = _mm512_fmadd_ps(weight, exponent, exponents);
    }
    sums.weights += static_cast<double>(_mm512_reduce_add_ps(weights));
    sums.weighted_exponents += static_cast<double>(_mm512_reduce_add_ps(exponents));
  }
  return sums;
}

template <Type type>
constexpr RowKernels row_kernels = {race<type>, survey<type>, collect<type>, sum<type>};

AVX512 void hash(const TokenId* tokens, const std::uint64_t* k1, const std::uint64_t* k2,
                 const HashKeys& account, std::size_t size, std::uint64_t* hashes) {
  const __m512i a1 = _mm512_set1_epi64(static_cast<long long>(account.a1));
  const __m512i a2 = _mm512_set1_epi64(static_cast<long long>(account.a2));
  for (std::size_t i = 0; i < size; i += 8) {
    const std::size_t left = std::min<std::size_t>(8, size - i);
    const auto mask = static_cast<__mmask8>((1U << left) - 1);
    const __m512i ids = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(mask, tokens + i));
    __m512i h =
        begin_and_finish_mix(_mm512_slli_epi64(ids, 32), _mm512_maskz_loadu_epi64(mask, k1 + i),
                             _mm512_maskz_loadu_epi64(mask, k2 + i));
    h = last_step(h);
    if (account.has_account) h = last_step(begin_and_finish_mix(h, a1, a2));
    _mm512_mask_storeu_epi64(hashes + i, mask, h);
  }
}

/// 1 - U of eight accounts, from linear(hash) and their keys.
AVX512 inline __m512d rests_of(__m512i hash, __m512i linear_a1, __m512i a2) noexcept {
  constexpr int not_b_and_c_or_a = 0xF2;
  const __m512i prime = _mm512_set1_epi64(static_cast<long long>(prf::mix_prime));
  const __m512i z =
      last_step(finish_mix(_mm512_mullo_epi64(_mm512_xor_epi64(hash, linear_a1), prime), a2));
  // The last 52 bits of ~z >> 12 as the fraction of a number in [1, 2), whose distance to
  // 1 - 2^-53 is exact.
  const __m512i one = _mm512_set1_epi64(0x3FF0000000000000);
  const __m512i fraction = _mm512_set1_epi64(0x000FFFFFFFFFFFFF);
  const __m512i bits =
      _mm512_ternarylogic_epi64(one, _mm512_srli_epi64(z, 12), fraction, not_b_and_c_or_a);
  return _mm512_sub_pd(_mm512_castsi512_pd(bits), _mm512_set1_pd(1.0 - 0x1p-53));
}

AVX512 void multiply(const AccountColumns& accounts, const std::uint64_t* hashes, std::size_t size,
                     double* products) {
  constexpr std::size_t vectors = account_lanes / 8;
  for (std::size_t i = 0; i < accounts.count; i += account_lanes) {
    __m512i a1[vectors], a2[vectors];
    __m512d product[vectors];
    for (std::size_t v = 0; v < vectors; ++v) {
      a1[v] = _mm512_loadu_si512(accounts.linear_a1 + i + 8 * v);
      a2[v] = _mm512_loadu_si512(accounts.a2 + i + 8 * v);
      product[v] = _mm512_set1_pd(1.0);
    }
    for (std::size_t t = 0; t < size; ++t) {
      const __m512i hash = _mm512_set1_epi64(static_cast<long long>(prf::linear(hashes[t])));
      for (std::size_t v = 0; v < vectors; ++v) {
        product[v] = _mm512_mul_pd(product[v], rests_of(hash, a1[v], a2[v]));
      }
    }
    for (std::size_t v = 0; v < vectors; ++v) _mm512_storeu_pd(products + i + 8 * v, product[v]);
  }
}

AVX512 void weigh(const AccountColumns& accounts, std::uint64_t hash, const std::int32_t* weights,
                  std::int64_t* sums) {
  const __m512i linear = _mm512_set1_epi64(static_cast<long long>(prf::linear(hash)));
  const __m512i first = _mm512_set1_epi64(static_cast<long long>(prf::uniform_key(0x1p-53)));
  const __m512i last = _mm512_set1_epi64(static_cast<long long>(prf::uniform_cells - 1));
  for (std::size_t i = 0; i < accounts.count; i += 8) {
    const __m512d rest = rests_of(linear, _mm512_loadu_si512(accounts.linear_a1 + i),
                                  _mm512_loadu_si512(accounts.a2 + i));
    const __m512d half = _mm512_set1_pd(0.5);
    const __mmask8 is_low = _mm512_cmp_pd_mask(rest, half, _CMP_GT_OQ);
    const __m512d side = _mm512_mask_sub_pd(rest, is_low, _mm512_set1_pd(1.0), rest);
    __m512i cell = _mm512_sub_epi64(
        _mm512_srli_epi64(_mm512_castpd_si512(side), 52 - prf::uniform_cell_bits), first);
    cell = _mm512_mask_sub_epi64(cell, is_low, last, cell);
    const __m512i weight = _mm512_cvtepi32_epi64(_mm512_i64gather_epi32(cell, weights, 4));
    _mm512_storeu_si512(sums + i, _mm512_add_epi64(_mm512_loadu_si512(sums + i), weight));
  }
}

}  // namespace

const Table avx512_table{
    "avx512",
    {row_kernels<Type::Float32>, row_kernels<Type::Float16>, row_kernels<Type::BFloat16>},
    hash,
    multiply,
    weigh};

}  // namespace countermark::kernels

#endif
