// The draw of a token: ours beside a plain softmax draw over the same rows.
#include <benchmark/benchmark.h>

#include <bit>
#include <cmath>
#include <string>

#include "embed/race.h"
#include "kernels/kernels.h"
#include "plain_softmax.h"
#include "rows.h"

namespace countermark::bench {
namespace {

constexpr std::size_t batch_size = 256;

/// "fresh": the rows of a batch, 131 MB; "hot": one row again and again.
Rows& rows_of(bool fresh) {
  static Rows fresh_rows(batch_size, llama_vocab), hot_row(1, llama_vocab);
  return fresh ? fresh_rows : hot_row;
}

/// The same rows in two bytes a logit.
struct HalfRows {
  std::vector<std::uint16_t> float16, bfloat16;

  explicit HalfRows(const Rows& rows) {
    for (std::size_t r = 0; r < rows.count(); ++r) {
      for (const float logit : rows[r]) {
        const auto bits = std::bit_cast<std::uint32_t>(logit);
        bfloat16.push_back(static_cast<std::uint16_t>(bits >> 16));
        // Cut off: what a benchmark's half needs.
        const int exponent = static_cast<int>((bits >> 23) & 0xFF) - 127 + 15;
        const int magnitude =
            exponent <= 0 ? 0 : (exponent << 10) | static_cast<int>((bits >> 13) & 0x3FF);
        float16.push_back(
            static_cast<std::uint16_t>(magnitude | static_cast<int>((bits >> 16) & 0x8000)));
      }
    }
  }
};

void plain_draw(benchmark::State& state, const kernels::Table* table, bool fresh) {
  Rows& rows = rows_of(fresh);
  double uniform = 0.5;
  for (auto _ : state) {
    uniform = std::fmod(uniform + 0.618034, 1.0);
    benchmark::DoNotOptimize(plain_softmax_draw(table->name, rows.next(), uniform));
  }
}

/// Each draw under its own seed, as at each position of a text.
marks::TokenHash next_hash(marks::TokenHash hash) {
  hash.seed.k1 += 0x9E3779B97F4A7C15;
  hash.seed.k2 += 0xC2B2AE3D27D4EB4F;
  return hash;
}

void marked_draw(benchmark::State& state, const kernels::Table* table, bool fresh, bool account) {
  Rows& rows = rows_of(fresh);
  marks::TokenHash hash{{1, 2}, std::nullopt};
  if (account) hash.account = keys::AccountKey{0x243F6A8885A308D3, 0x13198A2E03707344};
  embed::Winner winner;
  for (auto _ : state) {
    hash = next_hash(hash);
    const embed::BlockedRow row(*table, rows.next(), llama_vocab);
    benchmark::DoNotOptimize(embed::race(row, 1.0, hash, winner));
  }
}

void half_draw(benchmark::State& state, Logits::Type type) {
  static const HalfRows halves(rows_of(true));
  const auto& all = type == Logits::Type::Float16 ? halves.float16 : halves.bfloat16;
  marks::TokenHash hash{{1, 2}, std::nullopt};
  embed::Winner winner;
  std::size_t at = 0;
  for (auto _ : state) {
    hash = next_hash(hash);
    at = (at + 1) % batch_size;
    const Logits logits(all.data() + at * llama_vocab, llama_vocab, type);
    const embed::BlockedRow row(kernels::active(), logits, llama_vocab);
    benchmark::DoNotOptimize(embed::race(row, 1.0, hash, winner));
  }
}

void maximum(benchmark::State& state, bool fresh) {
  Rows& rows = rows_of(fresh);
  std::vector<float> maxima(llama_vocab / kernels::block_size + 1);
  for (auto _ : state) {
    kernels::Seen seen;
    embed::BlockedRow(kernels::active(), rows.next(), llama_vocab).survey(maxima, seen);
    benchmark::DoNotOptimize(seen);
  }
}

void sums(benchmark::State& state) {
  Rows& rows = rows_of(false);
  for (auto _ : state) {
    const embed::BlockedRow row(kernels::active(), rows.next(), llama_vocab);
    benchmark::DoNotOptimize(row.sum(12.0F, 1.4426950F));
  }
}

/// A whole step of a sequence: place, draw, statistics, observation.
void sample_from(benchmark::State& state, Rows& rows, const SamplingOptions& options) {
  const Sampler sampler(ring(llama_vocab), "bench");
  Sequence sequence = sampler.sequence();
  TokenId token = 0;
  for (auto _ : state) {
    if (sequence.sample(rows.next(), options, token) != ErrorCode::Ok)
      state.SkipWithError("failed");
    if (sequence.size() == 4096) sequence = sampler.sequence();
  }
}

void sample(benchmark::State& state, const SamplingOptions& options) {
  sample_from(state, rows_of(true), options);
}

/// What a model is sure of: a few large logits over the noise.
void sample_peaked(benchmark::State& state, const SamplingOptions& options) {
  static Rows rows = [] {
    Rows all(64, llama_vocab);
    std::mt19937 random(3);
    for (std::size_t r = 0; r < all.count(); ++r) {
      for (int i = 0; i < 400; ++i) {
        all[r][random() % llama_vocab] = 22.0F - 1.5F * std::log(1.0F + static_cast<float>(i));
      }
    }
    return all;
  }();
  sample_from(state, rows, options);
}

/// A response that goes on from `length` tokens, from 64 candidates.
void candidates(benchmark::State& state) {
  const auto length = static_cast<std::size_t>(state.range(0));
  const Sampler sampler(ring(llama_vocab), "bench");
  const std::vector<TokenId> so_far = random_tokens(length, llama_vocab);
  std::vector<TokenId> ids = random_tokens(64, llama_vocab);
  std::vector<double> weights;
  for (int i = 0; i < 64; ++i) weights.push_back(std::exp(-0.1 * i));
  Sequence sequence = sampler.sequence({.response_so_far = so_far, .max_tokens = length + 100000});
  TokenId token = 0;
  for (auto _ : state) {
    // Other candidates at each step, so that contexts do not repeat.
    for (TokenId& id : ids)
      id = static_cast<TokenId>((id + 7919) % static_cast<TokenId>(llama_vocab));
    if (sequence.select_candidates(ids, weights, token) != ErrorCode::Ok ||
        sequence.observe(token) != ErrorCode::Ok) {
      state.SkipWithError("failed");
    }
  }
}

void vocabulary(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  Rows rows(64, size);
  const Sampler sampler(ring(size), "bench");
  Sequence sequence = sampler.sequence({.max_tokens = 100000});
  TokenId token = 0;
  for (auto _ : state) {
    if (sequence.sample(rows.next(), {}, token) != ErrorCode::Ok) state.SkipWithError("failed");
  }
}

void batch(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Rows& rows = rows_of(true);
  const Sampler sampler(ring(llama_vocab), "bench",
                        {.threads = static_cast<unsigned>(state.range(1))});
  std::vector<Sequence> sequences;
  std::vector<Sequence*> pointers;
  std::vector<Logits> logits;
  std::vector<TokenId> tokens(size);
  for (std::size_t i = 0; i < size; ++i) {
    sequences.push_back(sampler.sequence({.max_tokens = 10000}));
    logits.emplace_back(rows[i]);
  }
  for (Sequence& sequence : sequences) pointers.push_back(&sequence);
  for (auto _ : state) {
    if (!sampler.sample_batch(logits, pointers, {}, tokens).ok()) state.SkipWithError("failed");
  }
}

const bool registered = [] {
  for (const kernels::Table* table : kernels::available()) {
    for (const bool fresh : {true, false}) {
      const std::string where = std::string(table->name) + (fresh ? "/fresh/" : "/hot/");
      const auto add = [&](const char* what, auto&&... arguments) {
        benchmark::RegisterBenchmark(("draw/" + where + what).c_str(), arguments...);
      };
      add("plain", plain_draw, table, fresh);
      add("marked", marked_draw, table, fresh, false);
      add("account", marked_draw, table, fresh, true);
    }
  }
  benchmark::RegisterBenchmark("draw/float16", half_draw, Logits::Type::Float16);
  benchmark::RegisterBenchmark("draw/bfloat16", half_draw, Logits::Type::BFloat16);
  benchmark::RegisterBenchmark("stage/maximum/fresh", maximum, true);
  benchmark::RegisterBenchmark("stage/maximum/hot", maximum, false);
  benchmark::RegisterBenchmark("stage/sums/hot", sums);
  benchmark::RegisterBenchmark("sample/all", sample, SamplingOptions{});
  benchmark::RegisterBenchmark("sample/top_k=64", sample, SamplingOptions{.top_k = 64});
  benchmark::RegisterBenchmark("sample/top_p=0.95/flat", sample, SamplingOptions{.top_p = 0.95});
  benchmark::RegisterBenchmark("sample/top_p=0.95/peaked", sample_peaked,
                               SamplingOptions{.top_p = 0.95});
  benchmark::RegisterBenchmark("sample/min_p=0.05", sample, SamplingOptions{.min_p = 0.05});
  benchmark::RegisterBenchmark("candidates/64/after", candidates)
      ->Arg(0)
      ->Arg(1000)
      ->Arg(10000)
      ->Arg(100000)
      ->Iterations(50000);
  benchmark::RegisterBenchmark("vocabulary", vocabulary)->RangeMultiplier(2)->Range(32768, 262144);
  benchmark::RegisterBenchmark("batch", batch)
      ->ArgsProduct({{1, 4, 16, 64, 256}, {1, 2}})
      ->UseRealTime();
  return true;
}();

}  // namespace
}  // namespace countermark::bench
