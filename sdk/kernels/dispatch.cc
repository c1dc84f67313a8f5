#include <array>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "kernels/kernels.h"

namespace countermark::kernels {
namespace {

struct Registry {
  std::array<const Table*, 3> tables{};
  std::size_t size = 0;
  const Table* active = nullptr;

  Registry() {
    add(scalar_table);
#if defined(__x86_64__)
    // Every processor with AVX2 converts halves too, which clang 14 cannot be asked about.
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      add(avx2_table);
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        add(avx512_table);
      }
    }
#endif
    if (const char* forced = std::getenv("COUNTERMARK_FORCE_KERNEL")) {
      for (std::size_t i = 0; i < size; ++i) {
        if (std::string_view(forced) == tables[i]->name) active = tables[i];
      }
    }
  }

  void add(const Table& table) { active = tables[size++] = &table; }
};

// Built on first use, thread-safe by the language, so there is no init() to forget.
const Registry& registry() noexcept {
  static const Registry instance;
  return instance;
}

}  // namespace

std::span<const Table* const> available() noexcept {
  return {registry().tables.data(), registry().size};
}

const Table& active() noexcept { return *registry().active; }

Bound race_bound(double best, double c) noexcept {
  // A float of bits (t + 127) * 2^23 is at least 2^t: a mantissa rises linearly, 2^f below its
  // chord. In units of 2^-31, t + 31.
  constexpr double bits = 0x1p23;
  // Bits that rounding may cost: of the sum (below 2^31: half of 128), of `scale` against a logit
  // of exponent |t - best|, of 1 - U as a float.
  const double slack = 256.0 + std::abs(best);
  const auto offset = static_cast<float>((best + 31.0 + 127.0) * bits + slack);
  return {static_cast<float>(c * bits), std::nextafter(offset, HUGE_VALF)};
}

}  // namespace countermark::kernels
