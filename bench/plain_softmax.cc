#include "plain_softmax.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own AVX-512 header (its bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <vector>

#include "kernels/exp2_series.h"

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))

namespace countermark::bench {
namespace {

using kernels::exp2_series;

constexpr std::size_t block_size = 256;
constexpr auto log2e = static_cast<float>(std::numbers::log2e);
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
// Five terms and the constant: 3e-6 relative, ample for a draw, and cheaper than countermark's own.
constexpr int terms = 5;

inline void prefetch(const float* at) {
  for (int line = 0; line < 8; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(at) + 4096 + 64 * line, _MM_HINT_T1);
  }
}

AVX512 float largest_avx512(const float* row, std::size_t size) {
  __m512 m[4];
  for (__m512& each : m) each = _mm512_set1_ps(minus_infinity);
  std::size_t i = 0;
  for (; i + 128 <= size; i += 128) {
    prefetch(row + i);
    for (std::size_t j = 0; j < 8; ++j) {
      m[j % 4] = _mm512_max_ps(m[j % 4], _mm512_loadu_ps(row + i + 16 * j));
    }
  }
  float largest =
      _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(m[0], m[1]), _mm512_max_ps(m[2], m[3])));
  for (; i < size; ++i) largest = std::max(largest, row[i]);
  return largest;
}

AVX512 inline __m512 exp2_avx512(__m512 t) {
  const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(t, whole);
  __m512 p = _mm512_set1_ps(exp2_series[terms]);
  for (int k = terms - 1; k >= 0; --k) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(exp2_series[k]));
  return _mm512_scalef_ps(p, whole);
}

/// The sum of the weights of a block.
AVX512 float block_avx512(const float* row, std::size_t size, float largest) {
  const __m512 scale = _mm512_set1_ps(log2e), shift = _mm512_set1_ps(-largest * log2e);
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  std::size_t i = 0;
#pragma GCC unroll 8
  for (; i + 32 <= size; i += 32) {
    for (std::size_t j = 0; j < 2; ++j) {
      const __m512 t = _mm512_fmadd_ps(_mm512_loadu_ps(row + i + 16 * j), scale, shift);
      sums[j] = _mm512_add_ps(sums[j], exp2_avx512(t));
    }
  }
  float sum = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
  for (; i < size; ++i) sum += std::exp2((row[i] - largest) * log2e);
  return sum;
}

AVX2 float largest_avx2(const float* row, std::size_t size) {
  __m256 m[4];
  for (__m256& each : m) each = _mm256_set1_ps(minus_infinity);
  std::size_t i = 0;
  for (; i + 128 <= size; i += 128) {
    prefetch(row + i);
    for (std::size_t j = 0; j < 16; ++j) {
      m[j % 4] = _mm256_max_ps(m[j % 4], _mm256_loadu_ps(row + i + 8 * j));
    }
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, _mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
  float largest = *std::max_element(lanes, lanes + 8);
  for (; i < size; ++i) largest = std::max(largest, row[i]);
  return largest;
}

AVX2 inline __m256 exp2_avx2(__m256 t) {
  t = _mm256_max_ps(t, _mm256_set1_ps(-126.0F));
  const __m256 whole = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 f = _mm256_sub_ps(t, whole);
  __m256 p = _mm256_set1_ps(exp2_series[terms]);
  for (int k = terms - 1; k >= 0; --k) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(exp2_series[k]));
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

AVX2 float block_avx2(const float* row, std::size_t size, float largest) {
  const __m256 scale = _mm256_set1_ps(log2e), shift = _mm256_set1_ps(-largest * log2e);
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  std::size_t i = 0;
#pragma GCC unroll 8
  for (; i + 16 <= size; i += 16) {
    for (std::size_t j = 0; j < 2; ++j) {
      const __m256 t = _mm256_fmadd_ps(_mm256_loadu_ps(row + i + 8 * j), scale, shift);
      sums[j] = _mm256_add_ps(sums[j], exp2_avx2(t));
    }
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, _mm256_add_ps(sums[0], sums[1]));
  float sum = 0.0F;
  for (const float lane : lanes) sum += lane;
  for (; i < size; ++i) sum += std::exp2((row[i] - largest) * log2e);
  return sum;
}

float largest_scalar(const float* row, std::size_t size) {
  return *std::max_element(row, row + size);
}

float block_scalar(const float* row, std::size_t size, float largest) {
  float sum = 0.0F;
  for (std::size_t i = 0; i < size; ++i) sum += std::exp2((row[i] - largest) * log2e);
  return sum;
}

struct Softmax {
  float (*largest)(const float*, std::size_t);
  float (*block)(const float*, std::size_t, float);
};

Softmax softmax_of(std::string_view kernel) {
  if (kernel == "avx512") return {largest_avx512, block_avx512};
  if (kernel == "avx2") return {largest_avx2, block_avx2};
  return {largest_scalar, block_scalar};
}

}  // namespace

std::size_t plain_softmax_draw(const char* kernel, std::span<const float> row, double uniform) {
  thread_local std::vector<float> sums;
  const Softmax softmax = softmax_of(kernel);
  const float largest = softmax.largest(row.data(), row.size());
  sums.resize((row.size() + block_size - 1) / block_size);
  double total = 0.0;
  for (std::size_t block = 0; block < sums.size(); ++block) {
    const std::size_t begin = block * block_size;
    sums[block] =
        softmax.block(row.data() + begin, std::min(block_size, row.size() - begin), largest);
    total += static_cast<double>(sums[block]);
  }
  double left = uniform * total;
  std::size_t block = 0;
  while (block + 1 < sums.size() && left >= static_cast<double>(sums[block])) {
    left -= static_cast<double>(sums[block++]);
  }
  for (std::size_t i = block * block_size; i < row.size(); ++i) {
    left -= static_cast<double>(std::exp2((row[i] - largest) * log2e));
    if (left < 0.0) return i;
  }
  return row.size() - 1;
}

}  // namespace countermark::bench
