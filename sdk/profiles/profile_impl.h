// What is behind a Profile: its JSON, and the fields that are asked for often.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "countermark/key_ring.h"
#include "countermark/profile.h"
#include "marks/countermark_1.h"
#include "marks/engine_mark.h"

namespace countermark {

struct Profile::Impl {
  /// Everything, the fields that this version does not know included.
  std::shared_ptr<const base::Json> json;
  std::string id;
  std::string mark;
  std::string key_id;
  std::string commitment;
  std::optional<TokenizerInfo> tokenizer;
  std::string created;
  bool active = true;
  bool accounts = false;
};

namespace profiles {

/// A profile from its JSON, validated. Throws as Profile::from_json does.
Profile make(base::Json json);

/// A new profile of the secret behind `commitment`. Throws Error(InvalidOption) or
/// Error(UnknownMark).
Profile make(std::string_view id, const ProfileOptions& options, const std::string& commitment);

/// A new profile of another engine's mark. Throws Error(InvalidOption), Error(InvalidProfile) or
/// Error(UnknownMark).
Profile make_engine(std::string_view id, std::string_view mark, const EngineKeyOptions& options,
                    const std::string& key_id);

/// Whether the mark is another engine's.
bool is_engine(const Profile& profile);

/// That mark with its key. Throws Error(InvalidKey).
std::shared_ptr<const marks::EngineMark> make_engine_mark(const keys::Secret& key,
                                                          const Profile& profile);

/// The first token that `profile` cannot have marked: negative, or not below its vocab_size.
/// Returns tokens.size() where there is none.
std::size_t first_out_of_range(const Profile& profile, std::span<const TokenId> tokens) noexcept;

/// Throws Error(TokenOutOfRange) for the first of `tokens`, called `name`, that it cannot have.
void require_ids(const Profile& profile, const char* name, std::span<const TokenId> tokens);

/// The parameters of a `countermark/1` profile. Throws Error(InvalidOption) for any other.
marks::Countermark1Parameters parameters_of(const Profile& profile);

/// The number of ids that `profile` takes: vocab_size, or 2^31 without a tokenizer.
std::int64_t id_limit(const Profile& profile) noexcept;

}  // namespace profiles
}  // namespace countermark
