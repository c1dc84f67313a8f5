// The public description of one deployed mark. No secret in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "countermark/export.h"
#include "countermark/token.h"

namespace countermark {

/// The tokenizer whose ids a profile marks.
struct TokenizerInfo {
  /// Free text for people.
  std::string name;
  /// Number of token ids with the added tokens, 2 to 2^31 - 1. Logits may be wider: ids from here
  /// on are padding and never candidates.
  std::int64_t vocab_size = 0;
  /// tokenizer_fingerprint() of the vocabulary: 32 hex digits.
  std::string fingerprint;

  bool operator==(const TokenizerInfo&) const = default;
};

/// XXH3-128 over a vocabulary in canonical hex (32 digits). `vocabulary` holds (id, bytes as the
/// tokenizer stores them), in any order; it is hashed sorted by id as u32 id, u32 length, bytes,
/// little-endian. Throws Error(InvalidOption) where an id is negative or occurs twice.
COUNTERMARK_API std::string tokenizer_fingerprint(
    std::span<const std::pair<TokenId, std::string>> vocabulary);

/// What a profile is for: a preset of its parameters.
enum class Purpose {
  Balanced,      ///< Half of the positions narrow, half wide.
  Distillation,  ///< Everything narrow (wide only on repeats): a student learns it best.
  Provenance,    ///< Everything wide: hardest to learn or to forge.
};

/// Parameters of a new `countermark/1` profile. A field left empty takes the preset of `purpose`.
struct ProfileOptions {
  std::string mark = "countermark/1";
  /// Whether the wide layer carries an account. Needs both layers.
  bool accounts = false;
  Purpose purpose = Purpose::Balanced;
  /// Tokens of context of the narrow and of the wide layer, 1 to 4. Either may be the wider.
  std::int64_t narrow_width = 2;
  std::int64_t wide_width = 4;
  /// Out of 65536 contexts, how many are narrow; 0 to 65536.
  std::optional<std::int64_t> narrow_units = {};
  /// Out of 65536 contexts, how many stay unmarked; 0 to 65536 - narrow_units.
  std::optional<std::int64_t> free_units = {};
  /// Tokens at the start of a response that are drawn freely, 0 to 65536, so that answers to the
  /// same prompt differ.
  std::optional<std::int64_t> free_prefix = {};
  /// Empty: any token id from 0 to 2^31 - 1 is accepted, which catches no mistake. Give it.
  std::optional<TokenizerInfo> tokenizer = {};
};

/// One deployed mark: its parameters, the tokenizer it is for, and a commitment to the key. Safe
/// to publish, to log and to send with a text.
///
/// Immutable; copies share their state.
class COUNTERMARK_API Profile {
 public:
  /// Reads `countermark.profile/1`. Fields this version does not know are kept and written back.
  /// Throws Error(InvalidProfile), Error(UnsupportedFormat), Error(UnknownMark) or
  /// Error(InvalidOption).
  static Profile from_json(std::string_view json);

  /// The profile as JSON on one line, every parameter written out.
  std::string to_json() const;

  const std::string& id() const noexcept;
  const std::string& mark() const noexcept;
  /// Why nothing new should be marked with it; empty where there is no reason.
  std::string_view warning() const;
  /// The parameters as a JSON object.
  std::string parameters_json() const;
  /// First 16 hex digits of the commitment, or 16 random ones for another engine's key: names the
  /// key, tells nothing about it.
  const std::string& key_id() const noexcept;
  /// HMAC-SHA256(secret, "countermark key commitment"), 64 hex digits; empty for another engine's
  /// key, which is short enough to be guessed from it.
  const std::string& commitment() const noexcept;
  const std::optional<TokenizerInfo>& tokenizer() const noexcept;
  /// RFC 3339, UTC.
  const std::string& created() const noexcept;
  /// False once retired: then it detects, and no longer marks.
  bool is_active() const noexcept;
  /// Whether the wide layer carries an account.
  bool has_accounts() const noexcept;

  struct Impl;
  explicit Profile(std::shared_ptr<const Impl> impl) noexcept;  // for the library itself
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace countermark
