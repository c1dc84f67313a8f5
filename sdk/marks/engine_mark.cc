#include "marks/engine_mark.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "prf/mix.h"

namespace countermark::marks {

std::optional<TokenId> EngineWalk::select(std::span<const Candidate> /*candidates*/,
                                          double /*coin*/) const {
  return std::nullopt;
}
void EngineWalk::reweigh(std::span<Candidate> /*candidates*/) const {}
void EngineWalk::bias(std::span<float> /*logits*/) const {}

std::uint64_t EngineMark::rests_after(std::span<const TokenId> /*context*/,
                                      std::span<const TokenId> /*tokens*/,
                                      std::span<double> rests) const {
  std::fill(rests.begin(), rests.end(), not_scored);
  return 0;
}

double rest_within(std::uint64_t step, double steps, std::uint64_t context,
                   TokenId token) noexcept {
  constexpr std::uint64_t k1 = 0x9E3779B97F4A7C15, k2 = 0xD1B54A32D192ED03;
  const std::uint64_t id = static_cast<std::uint32_t>(token);
  const double within = prf::uniform(prf::mix(k1 ^ context, k2, id << 32));
  return (steps - 1.0 - static_cast<double>(step) + within) / steps;
}

keys::Secret key_of(std::span<const std::uint64_t> words) {
  return keys::Secret({reinterpret_cast<const std::uint8_t*>(words.data()), words.size_bytes()});
}

std::uint64_t word_of(const keys::Secret& secret, std::size_t i) noexcept {
  return base::load<std::uint64_t>(secret.reveal().data() + 8 * i);
}

void require_words(const keys::Secret& secret, std::size_t least, std::size_t most) {
  const std::size_t words = words_of(secret);
  if (words >= least && words <= most && secret.reveal().size() % 8 == 0) return;
  const std::string range =
      least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most);
  fail(ErrorCode::InvalidKey, "a key of this mark is ", range, " x 64 bits, got ",
       8 * secret.reveal().size());
}

void require_distinct_words(const keys::Secret& secret) {
  for (std::size_t i = 0; i < words_of(secret); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (word_of(secret, i) != word_of(secret, k)) continue;
      fail(ErrorCode::InvalidKey, "numbers ", k, " and ", i,
           " of the key are equal, and must differ: what they say would count twice");
    }
  }
}

std::size_t words_of(const keys::Secret& secret) noexcept { return secret.reveal().size() / 8; }

}  // namespace countermark::marks
