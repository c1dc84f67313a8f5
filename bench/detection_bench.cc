// Detection with the key alone, as a whole and by its stages.
#include <benchmark/benchmark.h>

#include <array>
#include <numeric>
#include <string>

#include "kernels/kernels.h"
#include "keys/aes.h"
#include "marks/text_walk.h"
#include "prf/mix.h"
#include "rows.h"
#include "stats/log_product.h"

namespace countermark::bench {
namespace {

void count_tokens(benchmark::State& state, std::size_t tokens) {
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens) * state.iterations());
}

void detect(benchmark::State& state) {
  const auto tokens = random_tokens(static_cast<std::size_t>(state.range(0)), llama_vocab);
  const Detector detector(ring(llama_vocab));
  for (auto _ : state) benchmark::DoNotOptimize(detector.detect(tokens));
  count_tokens(state, tokens.size());
}

void detect_many(benchmark::State& state) {
  const auto tokens = random_tokens(1000 * 400, llama_vocab);
  std::vector<std::span<const TokenId>> texts;
  for (std::size_t i = 0; i < 1000; ++i) texts.push_back(std::span(tokens).subspan(400 * i, 400));
  const Detector detector(ring(llama_vocab));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        detector.detect_many(texts, Start::Both, static_cast<unsigned>(state.range(0))));
  }
  count_tokens(state, tokens.size());
}

constexpr std::size_t piece = marks::TextWalk::piece_size;

/// Both contexts of each position through the cipher.
void encrypt(benchmark::State& state) {
  keys::Aes cipher(keys::Secret(std::array<std::uint8_t, 32>{}));
  std::vector<keys::Block> blocks(piece);
  std::vector<keys::Seed> seeds(piece);
  for (auto _ : state) {
    if (!cipher.encrypt(blocks, seeds) || !cipher.encrypt(blocks, seeds)) {
      state.SkipWithError("failed");
    }
    benchmark::DoNotOptimize(seeds.data());
  }
  count_tokens(state, piece);
}

/// Hashes and the logarithm of their product, without the look-up of used seeds.
void score(benchmark::State& state) {
  const auto tokens = random_tokens(piece, llama_vocab);
  std::vector<std::uint64_t> k1(piece, 3), k2(piece, 5), hashes(piece);
  for (auto _ : state) {
    kernels::active().hash(tokens.data(), k1.data(), k2.data(), {}, piece, hashes.data());
    stats::LogProduct product;
    for (const std::uint64_t hash : hashes) product.multiply(prf::one_minus_uniform(hash));
    benchmark::DoNotOptimize(product.minus_log());
  }
  count_tokens(state, piece);
}

/// Cipher, hashes and logarithms of every position, without the look-up of used seeds.
void without_deduplication(benchmark::State& state) {
  const auto tokens = random_tokens(1 << 16, llama_vocab);
  keys::Aes narrow(keys::Secret(std::array<std::uint8_t, 32>{})), wide(narrow);
  std::array<keys::Block, piece> narrow_contexts, wide_contexts;
  std::array<keys::Seed, piece> narrow_seeds, wide_seeds;
  std::array<std::uint64_t, piece> k1, k2, hashes;
  for (auto _ : state) {
    stats::LogProduct product;
    for (std::size_t begin = 0; begin < tokens.size(); begin += piece) {
      for (std::size_t i = 0; i < piece; ++i) {
        const std::span<const TokenId> before =
            std::span(tokens).subspan(std::max<std::size_t>(begin + i, 4) - 4, 4);
        for (std::size_t word = 0; word < 4; ++word) {
          const auto id = static_cast<std::uint32_t>(before[word]);
          wide_contexts[i][word] = id;
          narrow_contexts[i][word] = word < 2 ? 0xFFFFFFFF : id;
        }
      }
      if (!narrow.encrypt(narrow_contexts, narrow_seeds) ||
          !wide.encrypt(wide_contexts, wide_seeds)) {
        state.SkipWithError("failed");
      }
      for (std::size_t i = 0; i < piece; ++i) {
        const std::array<keys::Seed, 2> seeds = {wide_seeds[i], narrow_seeds[i]};
        const keys::Seed& seed = seeds[narrow_seeds[i].k2 >> 63];
        k1[i] = seed.k1;
        k2[i] = seed.k2;
      }
      kernels::active().hash(tokens.data() + begin, k1.data(), k2.data(), {}, piece, hashes.data());
      for (const std::uint64_t hash : hashes) product.multiply(prf::one_minus_uniform(hash));
    }
    benchmark::DoNotOptimize(product.minus_log());
  }
  count_tokens(state, tokens.size());
}

/// A mark of another engine, with as many numbers as its key has.
struct Engine {
  const char* mark;
  std::size_t words;
  const char* parameters = "{}";
};

constexpr Engine engines[] = {
    {"vllm/gumbel-1", 1},
    {"vllm/dual-gumbel-1", 1},
    {"vllm/gumbel-0", 1},
    {"sglang/aaronson-1", 1},
    {"sglang/aaronson-dual-1", 2},
    {"hf/synthid-1", 30},
    {"deepmind/synthid-2", 30},
    {"hf/kgw-lefthash-1", 1, R"({"vocab_size": 128256})"},
    {"hf/kgw-selfhash-1", 1, R"({"vocab_size": 128256, "context_width": 4})"},
    {"meta/textseal-1", 1},
    {"meta/textseal-2", 1},
    {"sbw/selfhash-1", 1},
    {"sbw/lefthash-1", 1}};

/// One text under an engine's mark, by the sum alone, as the engines' own detectors do it.
void detect_engine(benchmark::State& state, const Engine& engine) {
  const auto tokens = random_tokens(1000, llama_vocab);
  KeyRing ring = KeyRing::generate();
  std::vector<std::uint64_t> key(engine.words);
  std::iota(key.begin(), key.end(), 1);
  ring.import_engine_key("bench", engine.mark, key, {.parameters_json = engine.parameters});
  const Detector detector(ring);
  for (auto _ : state) benchmark::DoNotOptimize(detector.detect(tokens, Start::Unknown));
  count_tokens(state, tokens.size());
}

const bool registered = [] {
  for (const Engine& engine : engines) {
    benchmark::RegisterBenchmark(
        (std::string("detect_engine/") + engine.mark).c_str(),
        [&engine](benchmark::State& state) { detect_engine(state, engine); });
  }
  benchmark::RegisterBenchmark("detect/tokens", detect)
      ->Arg(100)
      ->Arg(400)
      ->Arg(1000)
      ->Arg(10000)
      ->Arg(100000)
      ->Arg(1000000)
      ->Arg(10000000);
  benchmark::RegisterBenchmark("detect_many/threads", detect_many)->Arg(1)->Arg(2)->UseRealTime();
  benchmark::RegisterBenchmark("detect_stage/encrypt", encrypt);
  benchmark::RegisterBenchmark("detect_stage/score", score);
  benchmark::RegisterBenchmark("detect_without_deduplication", without_deduplication);
  return true;
}();

}  // namespace
}  // namespace countermark::bench
