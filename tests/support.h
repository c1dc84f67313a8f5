// What the tests share: keys, tokens and rows that are the same in every run, and what was thrown.
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "countermark/countermark.h"
#include "keys/secret.h"

namespace countermark::test {

using Tokens = std::vector<TokenId>;
using Row = std::vector<float>;
using SecretBytes = std::array<std::uint8_t, 32>;

/// The secret number n of the tests.
inline SecretBytes secret_bytes(std::uint64_t n) {
  std::mt19937_64 random(n);
  SecretBytes bytes = {};
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() >> 56);
  return bytes;
}

inline keys::Secret secret(std::uint64_t n) { return keys::Secret(secret_bytes(n)); }

/// A ring with one profile, "p", under secret n.
inline KeyRing ring_of(const ProfileOptions& options, std::uint64_t n = 1) {
  KeyRing ring = KeyRing::generate();
  ring.import_secret("p", secret_bytes(n), options);
  return ring;
}

inline Sampler sampler_of(const ProfileOptions& options, std::uint64_t n = 1) {
  return Sampler(ring_of(options, n), "p");
}

inline TokenizerInfo tokenizer_of(std::int64_t vocab_size) {
  return {"test", vocab_size, std::string(32, '0')};
}

/// Everything marked from the third token on: no free prefix, no unmarked contexts.
inline ProfileOptions marked_options(std::int64_t vocab_size = 0) {
  ProfileOptions options;
  options.free_prefix = 0;
  if (vocab_size > 0) options.tokenizer = tokenizer_of(vocab_size);
  return options;
}

inline ProfileOptions account_options(std::int64_t vocab_size = 0) {
  ProfileOptions options = marked_options(vocab_size);
  options.accounts = true;
  return options;
}

inline Tokens random_tokens(std::size_t n, std::uint64_t vocab_size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Tokens tokens(n);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocab_size);
  return tokens;
}

/// Logits between -4 and 4.
inline Row random_row(std::size_t vocab_size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Row row(vocab_size);
  for (float& logit : row) logit = static_cast<float>(random() >> 40) * 0x1p-21F - 4.0F;
  return row;
}

/// A response of n tokens under the model whose rows are random_row(vocab_size, position).
inline Tokens marked_tokens(const Sampler& sampler, std::size_t n, std::size_t vocab_size,
                            const SequenceOptions& options = {.seed = 1}) {
  Sequence sequence = sampler.sequence(options);
  for (std::size_t i = 0; i < n; ++i) {
    TokenId token = 0;
    if (sequence.sample(random_row(vocab_size, i), {}, token) != ErrorCode::Ok) return {};
  }
  return {sequence.tokens().begin(), sequence.tokens().end()};
}

/// What `call` threw: a code and a message; Ok and nothing where it returned.
struct Thrown {
  ErrorCode code = ErrorCode::Ok;
  std::string message;

  bool names(std::string_view text) const { return message.find(text) != std::string::npos; }
};

template <typename Call>
Thrown thrown_by(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

/// A folder that is gone again after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "countermark.XXXXXX").string();
    if (::mkdtemp(path.data()) != nullptr) path_ = path;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path operator/(const char* name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Writes a file that its owner alone can read, as key rings are.
inline void write_private(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace countermark::test
