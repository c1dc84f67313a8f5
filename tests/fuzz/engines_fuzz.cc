// Other engines' marks over arbitrary tokens and logits: no input breaks a walk or a detection.
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "fuzz/check.h"

using namespace countermark;
using fuzz::check;

namespace {

struct Engine {
  const char* mark;
  std::size_t words;
  /// A parameter that a byte sets, and its largest value.
  const char* parameter;
  unsigned most;
  const char* others = "";
};

constexpr Engine engines[] = {
    {"vllm/gumbel-1", 1, "context_width", 64},
    {"vllm/gumbel-1", 1, "deduplicate_contexts_max_history", 9, R"(,"deduplicate_contexts":"all")"},
    {"vllm/gumbel-0", 1, "context_width", 64},
    {"vllm/dual-gumbel-1", 1, "context_width", 64, R"(,"alpha":0.3)"},
    {"sglang/aaronson-1", 1, "context_window", 64, R"(,"max_probability":0.5)"},
    {"sglang/aaronson-dual-1", 2, "context_window", 64},
    {"deepmind/synthid-2", 5, "context_history_size", 9, R"(,"skip_first_ngram_calls":true)"},
    {"hf/synthid-1", 3, "context_history_size", 9, R"(,"sampling_table_size":256)"},
    {"hf/kgw-lefthash-1", 1, "context_width", 5, R"(,"vocab_size":300)"},
    {"meta/textseal-1", 1, "ngram", 10},
    {"meta/textseal-2", 2, "ngram", 10},
    {"sbw/selfhash-1", 1, "delta", 9},
    {"sbw/lefthash-1", 1, "delta", 9, R"(,"generator":"randperm","vocab_size":300)"}};

KeyRing take_ring(fuzz::Input& input) {
  const Engine& engine = engines[input.take<std::uint8_t>() % std::size(engines)];
  std::vector<std::uint64_t> key(engine.words);
  // Small, and no two alike: what is refused otherwise has tests of its own.
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = (std::uint64_t{input.take<std::uint32_t>()} << 8) + static_cast<std::uint64_t>(i) + 1;
  }
  const unsigned value = 1 + input.take<std::uint8_t>() % engine.most;
  const std::string parameters =
      std::string("{\"").append(engine.parameter).append("\":").append(std::to_string(value));
  KeyRing ring = KeyRing::generate();
  ring.import_engine_key("p", engine.mark, key,
                         {.parameters_json = parameters + engine.others + "}"});
  return ring;
}

std::vector<TokenId> take_tokens(fuzz::Input& input, std::size_t count) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count && input.size() > 0; ++i) {
    tokens.push_back(TokenId{input.take<std::uint8_t>()});
  }
  return tokens;
}

float take_logit(fuzz::Input& input) {
  const auto byte = input.take<std::uint8_t>();
  if (byte == 0) return -std::numeric_limits<float>::infinity();
  if (byte == 255) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(byte) / 8.0F;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const KeyRing ring = take_ring(input);
  const std::vector<TokenId> prompt = take_tokens(input, input.take<std::uint8_t>() % 8);
  const Sampler sampler(ring, "p");
  Sequence sequence = sampler.sequence({.seed = 1, .prompt = prompt});
  const Detector detector(ring);
  while (input.size() > 0) {
    switch (input.take<std::uint8_t>() % 4) {
      case 0:
        check(sequence.observe(input.take<std::uint16_t>()) == ErrorCode::Ok, "an id is taken");
        break;
      case 1:
        sequence.rollback(input.take<std::uint8_t>() % 4);
        break;
      case 2:
        sequence = sequence.fork(7);
        break;
      default: {
        std::array<float, 300> row;
        row.fill(-std::numeric_limits<float>::infinity());
        for (std::size_t i = 0; i < 16; ++i) row[17 * i] = take_logit(input);
        const double temperature = input.take<std::uint8_t>() % 3 * 0.5;
        TokenId token = -1, again = -1;
        const SamplingOptions options = {.temperature = temperature, .top_k = 8};
        const ErrorCode code = sequence.select(std::span<const float>(row), options, token);
        check(code == sequence.select(std::span<const float>(row), options, again),
              "select is pure");
        check(token == again, "select is pure");
        if (code == ErrorCode::Ok) {
          check(row[static_cast<std::size_t>(token)] > -HUGE_VALF, "what is drawn is a candidate");
          check(sequence.observe(token) == ErrorCode::Ok, "what is drawn is taken");
        }
      }
    }
  }
  const SequenceStats stats = sequence.stats();
  check(stats.tokens == stats.marked + stats.free + stats.greedy + stats.forced, "counts add up");
  if (sequence.size() == 0) return 0;
  const std::vector<TokenId> tokens(sequence.tokens().begin(), sequence.tokens().end());
  for (const bool has_prompt : {false, true}) {
    std::optional<std::span<const TokenId>> known;
    if (has_prompt) known = prompt;
    const Detection detection = detector.detect(tokens, Start::Both, known);
    check(detection.log10_p <= 0.0 && std::isfinite(detection.log10_p), "p is a probability");
    check(std::isfinite(detection.log10_e), "an e-value never overflows");
    check(detection.scored <= tokens.size(), "a token is scored once");
    check(!to_json(detection).empty(), "a detection can be written");
  }
  return 0;
}
