#include "countermark/profile.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/fail.h"
#include "base/hex.h"
#include "base/json.h"
#include "keys/derivation.h"
#include "marks/marks.h"
#include "profiles/profile_impl.h"

namespace countermark {
namespace {

using base::Json;

constexpr std::string_view format = "countermark.profile/1";
constexpr std::int64_t all_ids = std::int64_t{std::numeric_limits<TokenId>::max()} + 1;

void require_id(std::string_view id) {
  const bool printable =
      std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (id.empty() || id.size() > 128 || !printable) {
    fail(ErrorCode::InvalidOption,
         "a profile id must be 1 to 128 printable ASCII characters without spaces, got \"", id,
         "\"");
  }
}

bool is_hex(const std::string& value, std::size_t digits) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return value.size() == digits && std::all_of(value.begin(), value.end(), is_digit);
}

void require_hex(const std::string& value, std::size_t digits, const char* field) {
  if (!is_hex(value, digits)) {
    fail(ErrorCode::InvalidProfile, "profile field ", field, " must be ", digits,
         " lower-case hex digits, got \"", value, "\"");
  }
}

TokenizerInfo read_tokenizer(const Json& json) {
  constexpr auto code = ErrorCode::InvalidProfile;
  constexpr std::string_view what = "profile field tokenizer";
  TokenizerInfo info;
  info.name = base::require_string(json, "name", code, what);
  info.fingerprint = base::require_string(json, "fingerprint", code, what);
  const Json& size = base::require_field(json, "vocab_size", code, what);
  if (!size.is_number_integer()) fail(code, "tokenizer.vocab_size must be an integer");
  info.vocab_size = size.get<std::int64_t>();
  if (!(info.vocab_size >= 2 && info.vocab_size < all_ids)) {
    fail(code, "tokenizer.vocab_size must be in 2..", all_ids - 1, ", got ", info.vocab_size);
  }
  require_hex(info.fingerprint, 32, "tokenizer.fingerprint");
  return info;
}

/// Throws Error(InvalidOption) where the file could not hold `info` or would be refused.
void require_tokenizer(const TokenizerInfo& info) {
  constexpr auto code = ErrorCode::InvalidOption;
  if (!(info.vocab_size >= 2 && info.vocab_size < all_ids)) {
    fail(code, "tokenizer.vocab_size must be in 2..", all_ids - 1, ", got ", info.vocab_size);
  }
  if (!is_hex(info.fingerprint, 32)) {
    fail(code, "tokenizer.fingerprint must be 32 lower-case hex digits, got ",
         info.fingerprint.size(), " bytes");
  }
  try {
    Json(info.name).dump();
  } catch (const Json::exception&) {
    fail(code, "tokenizer.name must be valid UTF-8");
  }
}

Json write_tokenizer(const std::optional<TokenizerInfo>& info) {
  if (!info) return nullptr;
  return {
      {"name", info->name}, {"vocab_size", info->vocab_size}, {"fingerprint", info->fingerprint}};
}

/// The layers that a purpose asks for.
std::int64_t narrow_units_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::Distillation:
      return 65536;
    case Purpose::Provenance:
      return 0;
    case Purpose::Balanced:
      break;
  }
  return marks::Countermark1Parameters{}.narrow_units;
}

}  // namespace

namespace profiles {

Profile make(Json json) {
  constexpr auto code = ErrorCode::InvalidProfile;
  auto impl = std::make_shared<Profile::Impl>();
  const std::string found = base::require_string(json, "format", code, "profile");
  if (found != format) {
    fail(ErrorCode::UnsupportedFormat, "profile format \"", found,
         "\" is not one this version reads (", format, "); a newer version may");
  }
  impl->id = base::require_string(json, "id", code, "profile");
  require_id(impl->id);
  impl->mark = base::require_string(json, "mark", code, "profile");
  const marks::MarkEntry& mark = marks::find(impl->mark);
  base::require_field(json, "parameters", code, "profile");
  marks::Parameters parameters(json["parameters"]);
  mark.complete(parameters);
  impl->accounts = mark.make == nullptr && json["parameters"].value("accounts", false);
  impl->key_id = base::require_string(json, "key_id", code, "profile");
  require_hex(impl->key_id, 16, "key_id");
  if (mark.make == nullptr) {
    impl->commitment = base::require_string(json, "commitment", code, "profile");
    require_hex(impl->commitment, 64, "commitment");
    if (impl->key_id != keys::key_id(impl->commitment)) {
      fail(code, "profile ", impl->id, ": key_id is not the beginning of the commitment");
    }
  }
  if (const auto tokenizer = json.find("tokenizer");
      tokenizer != json.end() && !tokenizer->is_null()) {
    impl->tokenizer = read_tokenizer(*tokenizer);
  }
  impl->created = base::require_string(json, "created", code, "profile");
  if (!base::is_rfc3339(impl->created)) {
    fail(code, "profile field created must be an RFC 3339 date and time, got \"", impl->created,
         "\"");
  }
  const std::string status = base::require_string(json, "status", code, "profile");
  if (status != "active" && status != "retired") {
    fail(code, "profile field status must be \"active\" or \"retired\", got \"", status, "\"");
  }
  impl->active = status == "active";
  impl->json = std::make_shared<const Json>(std::move(json));
  return Profile(std::move(impl));
}

Profile make_engine(std::string_view id, std::string_view mark, const EngineKeyOptions& options,
                    const std::string& key_id) {
  require_id(id);
  const marks::MarkEntry& entry = marks::find(mark);
  if (entry.make == nullptr) {
    fail(ErrorCode::InvalidOption, mark, " is a mark of our own: import_secret() takes its key");
  }
  if (options.tokenizer) require_tokenizer(*options.tokenizer);
  Json written = base::parse_json(options.parameters_json, ErrorCode::InvalidOption, "parameters");
  marks::Parameters parameters(written);
  entry.complete(parameters);
  // A profile's file may come from a later version; a caller's slip would go unseen.
  if (const auto unknown = parameters.unknown()) {
    fail(ErrorCode::InvalidOption, mark, " has no parameter ", *unknown);
  }
  return make(Json{{"format", format},
                   {"id", id},
                   {"mark", mark},
                   {"parameters", std::move(written)},
                   {"key_id", key_id},
                   {"tokenizer", write_tokenizer(options.tokenizer)},
                   {"created", base::rfc3339_now()},
                   {"status", "active"}});
}

bool is_engine(const Profile& profile) { return marks::find(profile.mark()).make != nullptr; }

std::shared_ptr<const marks::EngineMark> make_engine_mark(const keys::Secret& key,
                                                          const Profile& profile) {
  Json copy = (*profile.impl().json)["parameters"];
  marks::Parameters parameters(copy);
  return marks::find(profile.mark()).make(key, parameters);
}

Profile make(std::string_view id, const ProfileOptions& options, const std::string& commitment) {
  require_id(id);
  if (marks::find(options.mark).make != nullptr) {
    fail(ErrorCode::InvalidOption, options.mark,
         " is another engine's mark: import_engine_key() takes its key");
  }
  marks::Countermark1Parameters parameters;
  parameters.narrow_width = options.narrow_width;
  parameters.wide_width = options.wide_width;
  parameters.narrow_units = options.narrow_units.value_or(narrow_units_of(options.purpose));
  parameters.free_units = options.free_units.value_or(parameters.free_units);
  parameters.free_prefix = options.free_prefix.value_or(parameters.free_prefix);
  parameters.accounts = options.accounts;
  parameters.validate();
  if (options.tokenizer) require_tokenizer(*options.tokenizer);
  Json written = Json::object();
  parameters.write(written);
  return make(Json{{"format", format},
                   {"id", id},
                   {"mark", options.mark},
                   {"parameters", std::move(written)},
                   {"key_id", keys::key_id(commitment)},
                   {"commitment", commitment},
                   {"tokenizer", write_tokenizer(options.tokenizer)},
                   {"created", base::rfc3339_now()},
                   {"status", "active"}});
}

void require_ids(const Profile& profile, const char* name, std::span<const TokenId> tokens) {
  const std::size_t bad = first_out_of_range(profile, tokens);
  if (bad == tokens.size()) return;
  fail(ErrorCode::TokenOutOfRange, name, "[", bad, "] is ", tokens[bad],
       ", and a token id must be in 0..", id_limit(profile) - 1);
}

marks::Countermark1Parameters parameters_of(const Profile& profile) {
  if (is_engine(profile)) {
    fail(ErrorCode::InvalidOption, "profile \"", profile.id(), "\" has the mark ", profile.mark(),
         ", and this is for countermark/1");
  }
  return marks::Countermark1Parameters::from_json((*profile.impl().json)["parameters"]);
}

std::int64_t id_limit(const Profile& profile) noexcept {
  return profile.tokenizer() ? profile.tokenizer()->vocab_size : all_ids;
}

std::size_t first_out_of_range(const Profile& profile, std::span<const TokenId> tokens) noexcept {
  const std::int64_t limit = id_limit(profile);
  const auto bad = std::find_if(tokens.begin(), tokens.end(), [&](TokenId token) {
    return token < 0 || static_cast<std::int64_t>(token) >= limit;
  });
  return static_cast<std::size_t>(bad - tokens.begin());
}

}  // namespace profiles

Profile::Profile(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Profile Profile::from_json(std::string_view json) {
  return profiles::make(base::parse_json(json, ErrorCode::InvalidProfile, "the profile"));
}

std::string Profile::to_json() const { return impl_->json->dump(); }
const std::string& Profile::id() const noexcept { return impl_->id; }
const std::string& Profile::mark() const noexcept { return impl_->mark; }
std::string_view Profile::warning() const { return marks::find(impl_->mark).warning; }
std::string Profile::parameters_json() const { return (*impl_->json)["parameters"].dump(); }
const std::string& Profile::key_id() const noexcept { return impl_->key_id; }
const std::string& Profile::commitment() const noexcept { return impl_->commitment; }
const std::optional<TokenizerInfo>& Profile::tokenizer() const noexcept { return impl_->tokenizer; }
const std::string& Profile::created() const noexcept { return impl_->created; }
bool Profile::is_active() const noexcept { return impl_->active; }
bool Profile::has_accounts() const noexcept { return impl_->accounts; }

}  // namespace countermark
