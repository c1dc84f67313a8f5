#include <array>
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

}  // namespace countermark::kernels
