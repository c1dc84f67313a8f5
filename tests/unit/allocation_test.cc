// An executable of its own: it counts what the whole program takes from the heap.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "support.h"

namespace {

std::atomic<std::size_t> allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 2000;

struct Batch {
  Sampler sampler;
  std::vector<Sequence> sequences;
  std::vector<Sequence*> pointers;
  std::vector<test::Row> rows;
  std::vector<Logits> logits;
  std::vector<TokenId> tokens;

  Batch(std::size_t size, std::size_t max_tokens, unsigned threads)
      : sampler(test::ring_of(test::account_options(vocab_size)), "p", {.threads = threads}),
        tokens(size) {
    for (std::size_t i = 0; i < size; ++i) {
      sequences.push_back(sampler.sequence({.account = i, .seed = i, .max_tokens = max_tokens}));
      rows.push_back(test::random_row(vocab_size, i));
    }
    for (Sequence& sequence : sequences) pointers.push_back(&sequence);
    for (const test::Row& row : rows) logits.emplace_back(row);
  }

  void step(const SamplingOptions& options) {
    REQUIRE(sampler.sample_batch(logits, pointers, options, tokens).ok());
  }
};

}  // namespace

TEST_CASE("a batch takes no memory after its first step, if it was told how long responses are") {
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.top_k = 8}, SamplingOptions{.top_p = 0.9},
        SamplingOptions{.temperature = 0.0}}) {
    CAPTURE(options.top_k);
    CAPTURE(options.top_p);
    // A thread takes room for truncation with its first row, which may come late.
    const bool is_truncated =
        options.top_k > 0 || options.top_p < 1.0 || options.temperature == 0.0;
    Batch batch(64, 300, is_truncated ? 1 : 2);
    batch.step(options);
    const std::size_t before = allocations;
    for (int i = 0; i < 299; ++i) batch.step(options);
    CHECK(allocations == before);
  }
}

TEST_CASE("a response that grows takes memory by doubling, not by token") {
  Batch batch(1, 0, 1);
  batch.step({});
  const std::size_t before = allocations;
  for (int i = 0; i < 2000; ++i) batch.step({});
  // Tokens, places, records and used seeds: four arrays that double eleven times at most.
  CHECK(allocations - before <= 44);
}
