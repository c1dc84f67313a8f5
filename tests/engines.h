// Every mark of another engine, with a key and parameters that suit it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "countermark/countermark.h"
#include "support.h"

namespace countermark::test {

struct Engine {
  const char* mark;
  /// Numbers that its key has.
  std::size_t words;
  const char* parameters = "{}";
  /// Tables are made for every key.
  bool is_slow = false;
};

/// For a vocabulary of 1000 ids.
inline const std::vector<Engine>& engines() {
  static const std::vector<Engine> all = {
      {"vllm/gumbel-1", 1},
      {"vllm/gumbel-1", 1, R"({"deduplicate_contexts": "all"})"},
      {"vllm/gumbel-0", 1},
      {"vllm/dual-gumbel-1", 1},
      {"sglang/aaronson-1", 1},
      {"sglang/aaronson-dual-1", 2},
      {"hf/synthid-1", 30, "{}", true},
      {"deepmind/synthid-2", 30},
      {"hf/kgw-lefthash-1", 1, R"({"vocab_size": 1000})"},
      {"hf/kgw-selfhash-1", 1, R"({"vocab_size": 1000, "context_width": 4})", true},
      {"meta/textseal-1", 1},
      {"meta/textseal-2", 1, R"({"ngram": 2})"},
      {"meta/textseal-2", 2, R"({"scoring_method": "v1"})"},
      {"sbw/selfhash-1", 1},
      {"sbw/selfhash-1", 1, R"({"generator": "randperm", "vocab_size": 1000})"},
      {"sbw/lefthash-1", 1},
      {"sbw/lefthash-1", 1, R"({"generator": "randperm", "vocab_size": 1000})"}};
  return all;
}

/// The key number n of the tests.
inline std::vector<std::uint64_t> engine_key(const Engine& engine, std::uint64_t n) {
  std::mt19937_64 random(n);
  std::vector<std::uint64_t> key(engine.words);
  for (std::uint64_t& word : key) word = random() >> 1;  // as all engines take them
  return key;
}

/// A ring with one profile, "p".
inline KeyRing engine_ring(const Engine& engine, std::uint64_t n = 1) {
  KeyRing ring = KeyRing::generate();
  ring.import_engine_key("p", engine.mark, engine_key(engine, n),
                         {.parameters_json = engine.parameters});
  return ring;
}

}  // namespace countermark::test
