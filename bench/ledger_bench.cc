// What a ledger costs the sampler that writes it.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "ledger/ledger_impl.h"

namespace countermark::bench {
namespace {

constexpr std::size_t response = 400;

/// Places of responses under one key, all of them narrow; each of its own context, or the same
/// response again and again.
void record(benchmark::State& state, bool is_new) {
  KeyRing ring = KeyRing::generate();
  ring.create_profile("p", {.purpose = Purpose::Distillation});
  const Ledger ledger(ring, "p", {.contexts = static_cast<std::size_t>(state.range(0))});
  std::mt19937_64 random(1);
  std::vector<marks::Place> places(response, {marks::Layer::Narrow, {}});
  for (marks::Place& place : places) place.seed = {random(), random()};
  for (auto _ : state) {
    if (is_new) {
      for (marks::Place& place : places) place.seed.k1 += 0x9E3779B97F4A7C15;
    }
    ledger.impl().record(places, [](std::size_t) { return true; });
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(response));
}

BENCHMARK_CAPTURE(record, known, false)->Arg(1'000'000)->Arg(100'000'000);
BENCHMARK_CAPTURE(record, fresh, true)->Arg(1'000'000)->Arg(100'000'000);

}  // namespace
}  // namespace countermark::bench
