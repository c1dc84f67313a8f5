// How a fuzz target says that a contract is broken.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "countermark/countermark.h"

namespace countermark::fuzz {

inline void check(bool holds, const char* contract) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", contract);
  std::abort();
}

/// Runs what may refuse its input by an Error that says why.
template <typename Call>
void may_refuse(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    check(error.code() != ErrorCode::Ok && *error.what() != '\0', "an Error says what is wrong");
  }
}

/// Takes the input apart; zeros once it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}

  std::size_t size() const { return bytes_.size(); }

  template <typename T>
  T take() {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T) && !bytes_.empty(); ++i) {
      value = static_cast<T>(value | static_cast<T>(T{bytes_.front()} << (8 * i)));
      bytes_ = bytes_.subspan(1);
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Profile "p" with parameters from the input; the secret does not matter here.
inline KeyRing take_ring(Input& input, std::int64_t vocab_size) {
  ProfileOptions options;
  const auto shape = input.take<std::uint16_t>();
  options.narrow_width = 1 + (shape & 3);
  options.wide_width = 1 + (shape >> 2 & 3);
  options.accounts = (shape & 16) != 0;
  options.narrow_units = options.accounts ? 30000 : 1000 * (shape >> 5 & 63);
  options.free_units = (shape & 2048) != 0 ? 2000 : 0;
  options.free_prefix = shape >> 12;
  if (vocab_size > 0) options.tokenizer = TokenizerInfo{"fuzz", vocab_size, std::string(32, '0')};
  KeyRing ring = KeyRing::generate();
  ring.import_secret("p", std::array<std::uint8_t, 32>{1, 2, 3}, options);
  return ring;
}

}  // namespace countermark::fuzz
