#include "countermark/key_ring.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <system_error>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "keys/derivation.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "profiles/secret_text.h"

namespace countermark {
namespace {

using base::Json;
using base::WipedString;
using keys::Secret;

constexpr std::string_view format = "countermark.keyring/1";
constexpr auto broken = ErrorCode::InvalidKeyRing;

using HexSecrets = std::vector<WipedString>;

Secret read_secret(const Json& entry, const HexSecrets& secrets, const std::string& what) {
  if (entry.contains("sealed")) {
    fail(ErrorCode::UnsupportedFormat, what,
         " is sealed, and this version cannot open sealed secrets");
  }
  const Json& field = base::require_field(entry, "secret", broken, what);
  const auto index = field.is_string()
                         ? profiles::placeholder_index(field.get_ref<const std::string&>())
                         : std::nullopt;
  std::array<std::uint8_t, Secret::most_bytes> room = {};
  const std::size_t size = index && *index < secrets.size() ? secrets[*index].size() / 2 : 0;
  const auto bytes = std::span(room).first(std::min(size, room.size()));
  // The value itself stays out of the message.
  if (bytes.empty() || !base::from_hex(secrets[*index], bytes)) {
    fail(broken, what,
         ": field \"secret\" must be 64 hex digits, or 16 for each number of an engine's key");
  }
  Secret secret(bytes);
  OPENSSL_cleanse(room.data(), room.size());
  return secret;
}

/// Undoes the cutting in fields that are not ours.
void restore(Json& json, const HexSecrets& secrets) {
  if (json.is_structured()) {
    for (Json& item : json) restore(item, secrets);
  } else if (json.is_string()) {
    const auto index = profiles::placeholder_index(json.get_ref<const std::string&>());
    if (index && *index < secrets.size()) json = std::string(std::string_view(secrets[*index]));
  }
}

/// The fields of `json` but those in `known`.
Json unknown_fields(Json json, std::initializer_list<const char*> known,
                    const HexSecrets& secrets) {
  for (const char* field : known) json.erase(field);
  restore(json, secrets);
  return json;
}

/// Whether the secret is an engine's key: it is too short to be committed to.
bool is_engine_key(const KeyRingEntry& entry) {
  return !entry.profiles.empty() && profiles::is_engine(entry.profiles.front());
}

/// Throws Error(InvalidKeyRing) unless all names of an entry's key are the same.
void require_one_key(const KeyRingEntry& entry, const std::string& what) {
  std::string commitment;
  if (!is_engine_key(entry)) {
    if (entry.secret.reveal().size() != Secret::size_bytes) {
      fail(broken, what, ": field \"secret\" must be 64 hex digits");
    }
    commitment = keys::commitment(entry.secret);
    if (entry.key_id != keys::key_id(commitment)) {
      fail(broken, what, ": key_id is ", entry.key_id, ", but the secret's is ",
           keys::key_id(commitment));
    }
  }
  for (const Profile& profile : entry.profiles) {
    if (profile.commitment() != commitment || profile.key_id() != entry.key_id) {
      fail(broken, what, ": profile ", profile.id(), " is committed to another key (",
           profile.key_id(), ") than the entry's (", entry.key_id, ")");
    }
  }
}

KeyRingEntry read_entry(const Json& json, const HexSecrets& secrets, const std::string& what) {
  const std::string key_id = base::require_string(json, "key_id", broken, what);
  KeyRingEntry entry{key_id, read_secret(json, secrets, what), {}, {}};
  const Json& list = base::require_field(json, "profiles", broken, what);
  if (!list.is_array()) fail(broken, what, ": field \"profiles\" must be an array");
  for (Json item : list) {
    restore(item, secrets);
    entry.profiles.push_back(profiles::make(std::move(item)));
  }
  require_one_key(entry, what);
  entry.unknown_fields =
      std::make_shared<const Json>(unknown_fields(json, {"key_id", "secret", "profiles"}, secrets));
  return entry;
}

/// The entry as JSON, with placeholder `i` for its secret.
Json write_entry(const KeyRingEntry& entry, std::size_t i) {
  Json json = {{"key_id", entry.key_id},
               {"secret", profiles::placeholder(i, 2 * entry.secret.reveal().size())},
               {"profiles", Json::array()}};
  for (const Profile& profile : entry.profiles) json["profiles"].push_back(*profile.impl().json);
  if (entry.unknown_fields) json.update(*entry.unknown_fields);
  return json;
}

/// Refuses to replace a key ring that holds keys which `entries` lack: text that they have marked
/// would be lost. What is no JSON holds none.
void require_no_key_lost(const std::filesystem::path& path,
                         const std::vector<KeyRingEntry>& entries) {
  // Where that cannot be told, neither can the file be written, which says why.
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown)) return;
  WipedString text = base::read_file(path, false);
  profiles::cut_secrets(text);
  const Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object() || !json.contains("entries") || !json["entries"].is_array()) return;
  for (const Json& old : json["entries"]) {
    if (!old.is_object() || !old.contains("key_id") || !old["key_id"].is_string()) continue;
    const auto& key_id = old["key_id"].get_ref<const std::string&>();
    const bool kept = std::any_of(entries.begin(), entries.end(), [&](const KeyRingEntry& entry) {
      return entry.key_id == key_id;
    });
    if (!kept) {
      fail(ErrorCode::FileFailure, "not written: ", path.string(), " holds the key ", key_id,
           ", which this ring does not have and which would be lost; open that file, add to it and "
           "save it, or choose another path");
    }
  }
}

/// Eight random bytes.
std::array<std::uint8_t, 8> drawn_key_id() {
  std::array<std::uint8_t, 8> id = {};
  if (RAND_bytes(id.data(), static_cast<int>(id.size())) != 1) {
    fail(ErrorCode::CryptoFailure, "OpenSSL's random generator failed");
  }
  return id;
}

/// Adds a profile to the entry of its key, which is a new one where there is none.
Profile add(std::vector<KeyRingEntry>& entries, Secret secret, Profile profile) {
  KeyRingEntry* home = nullptr;
  for (KeyRingEntry& entry : entries) {
    for (const Profile& other : entry.profiles) {
      if (other.id() == profile.id()) {
        fail(ErrorCode::InvalidOption, "the key ring has a profile \"", profile.id(), "\" already");
      }
    }
    if (entry.key_id == profile.key_id() && entry.secret == secret) home = &entry;
  }
  if (home == nullptr) {
    entries.push_back({profile.key_id(), std::move(secret), {}, nullptr});
    home = &entries.back();
  }
  home->profiles.push_back(profile);
  return profile;
}

}  // namespace

std::pair<const KeyRingEntry*, const Profile*> KeyRing::Impl::find(std::string_view id) const {
  std::string known;
  for (const KeyRingEntry& entry : entries) {
    for (const Profile& profile : entry.profiles) {
      if (profile.id() == id) return {&entry, &profile};
      known += (known.empty() ? "" : ", ") + profile.id();
    }
  }
  fail(ErrorCode::UnknownProfile, "the key ring has no profile \"", id,
       "\"; it has: ", known.empty() ? "none" : known);
}

std::vector<std::pair<const KeyRingEntry*, const Profile*>> KeyRing::Impl::find_all(
    std::span<const std::string> ids) const {
  if (ids.empty()) {
    fail(ErrorCode::UnknownProfile,
         "there is no profile to test: none is named, or the key ring is empty");
  }
  std::vector<std::pair<const KeyRingEntry*, const Profile*>> found;
  for (const std::string& id : ids) {
    found.push_back(find(id));
    for (std::size_t i = 0; i + 1 < found.size(); ++i) {
      if (found[i].second == found.back().second) {
        fail(ErrorCode::InvalidOption, "profile \"", id, "\" is named twice");
      }
    }
  }
  return found;
}

KeyRing::KeyRing(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyRing::KeyRing(const KeyRing& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
KeyRing& KeyRing::operator=(const KeyRing& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
KeyRing::~KeyRing() = default;

KeyRing KeyRing::generate() { return KeyRing(std::make_unique<Impl>()); }

KeyRing KeyRing::open(const std::filesystem::path& path, const OpenOptions& options) {
  WipedString text = base::read_file(path, base::is_private_only(options.allow_readable_by_others));
  const std::string what = "key ring " + path.string();
  const HexSecrets secrets = profiles::cut_secrets(text);
  const Json json = base::parse_json(text, broken, what);
  const std::string found = base::require_string(json, "format", broken, what);
  if (found != format) {
    fail(ErrorCode::UnsupportedFormat, what, ": format \"", found,
         "\" is not one this version reads (", format, "); a newer version may");
  }
  const Json& list = base::require_field(json, "entries", broken, what);
  if (!list.is_array()) fail(broken, what, ": field \"entries\" must be an array");

  auto impl = std::make_unique<Impl>();
  std::vector<std::string> ids;
  for (const Json& item : list) {
    impl->entries.push_back(
        read_entry(item, secrets, what + ": entry " + std::to_string(impl->entries.size())));
    for (const Profile& profile : impl->entries.back().profiles) ids.push_back(profile.id());
  }
  std::sort(ids.begin(), ids.end());
  if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end()) {
    fail(broken, what, ": profile id ", *twice, " occurs twice");
  }
  impl->unknown_fields =
      std::make_shared<const Json>(unknown_fields(json, {"format", "entries"}, secrets));
  return KeyRing(std::move(impl));
}

void KeyRing::save(const std::filesystem::path& path) const {
  const auto& entries = impl_->entries;
  require_no_key_lost(path, entries);
  Json json = {{"format", format}, {"entries", Json::array()}};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    json["entries"].push_back(write_entry(entries[i], i));
  }
  if (impl_->unknown_fields) json.update(*impl_->unknown_fields);
  const std::string without_secrets = json.dump(2) + "\n";
  WipedString text(without_secrets.begin(), without_secrets.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::string hex = base::to_hex(entries[i].secret.reveal());
    profiles::fill_secret(text, i, hex);
    OPENSSL_cleanse(hex.data(), hex.size());
  }
  base::replace_file(path, text);
}

Profile KeyRing::create_profile(std::string_view id, const ProfileOptions& options) {
  const Secret secret = Secret::generate();
  return import_secret(id, secret.reveal(), options);
}

Profile KeyRing::import_secret(std::string_view id, std::span<const std::uint8_t> bytes,
                               const ProfileOptions& options) {
  if (bytes.size() != Secret::size_bytes) {
    fail(ErrorCode::InvalidKey, "a secret must hold ", Secret::size_bytes, " bytes, got ",
         bytes.size());
  }
  Secret secret(bytes);
  Profile profile = profiles::make(id, options, keys::commitment(secret));
  return add(impl_->entries, std::move(secret), std::move(profile));
}

Profile KeyRing::import_engine_key(std::string_view id, std::string_view mark,
                                   std::span<const std::uint64_t> key,
                                   const EngineKeyOptions& options) {
  if (key.empty() || key.size() > Secret::most_bytes / 8) {
    fail(ErrorCode::InvalidKey, "an engine's key must hold 1 to ", Secret::most_bytes / 8,
         " numbers, got ", key.size());
  }
  Secret secret = marks::key_of(key);
  // One key has one name, however many profiles use it.
  std::string key_id = base::to_hex(drawn_key_id());
  for (const KeyRingEntry& entry : impl_->entries) {
    if (is_engine_key(entry) && entry.secret == secret) key_id = entry.key_id;
  }
  Profile profile = profiles::make_engine(id, mark, options, key_id);
  profiles::make_engine_mark(secret, profile);  // throws where the key does not fit
  return add(impl_->entries, std::move(secret), std::move(profile));
}

Profile KeyRing::retire(std::string_view id) {
  for (KeyRingEntry& entry : impl_->entries) {
    for (Profile& profile : entry.profiles) {
      if (profile.id() != id) continue;
      base::Json json = *profile.impl().json;
      json["status"] = "retired";
      profile = profiles::make(std::move(json));
      return profile;
    }
  }
  return profile(id);  // throws: there is none
}

std::vector<Profile> KeyRing::profiles() const {
  std::vector<Profile> all;
  for (const KeyRingEntry& entry : impl_->entries) {
    all.insert(all.end(), entry.profiles.begin(), entry.profiles.end());
  }
  return all;
}

Profile KeyRing::profile(std::string_view id) const { return *impl_->find(id).second; }

}  // namespace countermark
