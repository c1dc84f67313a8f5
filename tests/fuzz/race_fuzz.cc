// Long rows of arbitrary bits: every set of kernels draws and truncates as the definition does.
#include <algorithm>
#include <cmath>
#include <vector>

#include "embed/candidates.h"
#include "embed/race.h"
#include "fuzz/check.h"

using namespace countermark;
using fuzz::check;

namespace {

/// Few values, which come again and again, over more than the blocks of a short row.
std::vector<std::uint16_t> take_bits(fuzz::Input& input) {
  std::vector<std::uint16_t> values;
  for (std::size_t i = 0; i < 24; ++i) values.push_back(input.take<std::uint16_t>());
  std::vector<std::uint16_t> bits(600 + input.take<std::uint8_t>());
  std::uint32_t state = input.take<std::uint32_t>();
  for (std::uint16_t& each : bits) {
    state = state * 1664525 + 1013904223;
    each = values[(state >> 16) % (1 + input.take<std::uint8_t>() % values.size())];
  }
  return bits;
}

bool by_token(const embed::Candidate& a, const embed::Candidate& b) { return a.token < b.token; }

void check_race(const embed::BlockedRow& row, double temperature, const marks::TokenHash& hash,
                ErrorCode code, const std::vector<embed::Candidate>& all) {
  embed::Winner winner;
  const ErrorCode raced = embed::race(row, temperature, hash, winner);
  if (raced == ErrorCode::Ok && !winner.is_decided) return;
  check(raced == code, "the same rows are refused");
  if (raced != ErrorCode::Ok) return;
  marks::Selection selection;
  for (const auto& [token, weight] : all) {
    selection.offer(token, prf::exponential(hash(token)), weight);
  }
  check(winner.token == selection.token(), "the race is won by the definition's token");
  check(winner.is_alone == (all.size() == 1), "a single candidate is known as such");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto shape = input.take<std::uint8_t>();
  const auto type = static_cast<Logits::Type>(1 + shape % 2);
  marks::TokenHash hash{{input.take<std::uint64_t>(), input.take<std::uint64_t>()}, std::nullopt};
  if ((shape & 4) != 0) hash.account = keys::AccountKey{1, 2};
  SamplingOptions options;
  options.temperature =
      std::ldexp(1.0 + input.take<std::uint8_t>(), input.take<std::uint8_t>() % 60 - 38);
  const SamplingOptions plain = options;
  if ((shape & 8) != 0) options.top_k = input.take<std::uint8_t>() % 8;
  if ((shape & 16) != 0) options.top_p = (1 + input.take<std::uint8_t>()) / 256.0;
  if ((shape & 32) != 0) options.min_p = input.take<std::uint8_t>() / 255.0;
  const std::vector<std::uint16_t> bits = take_bits(input);
  const Logits logits(bits.data(), bits.size(), type);

  const embed::BlockedRow scalar(kernels::scalar_table, logits, bits.size());
  std::vector<embed::Candidate> all, expected;
  const ErrorCode code = embed::candidates_by_definition(scalar, plain, all);
  (void)embed::candidates_by_definition(scalar, options, expected);
  std::sort(expected.begin(), expected.end(), by_token);
  for (const kernels::Table* table : kernels::available()) {
    const embed::BlockedRow row(*table, logits, bits.size());
    check_race(row, options.temperature, hash, code, all);
    embed::Scratch scratch;
    check(embed::candidates_from_logits(row, options, scratch) == code,
          "the same rows are refused");
    std::sort(scratch.candidates.begin(), scratch.candidates.end(), by_token);
    check(std::equal(scratch.candidates.begin(), scratch.candidates.end(), expected.begin(),
                     expected.end(),
                     [](const embed::Candidate& a, const embed::Candidate& b) {
                       return a.token == b.token && a.weight == b.weight;
                     }),
          "truncation keeps the definition's candidates");
  }
  return 0;
}
