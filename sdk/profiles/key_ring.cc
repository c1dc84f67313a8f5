#include "countermark/key_ring.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "keys/derivation.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"

namespace countermark {
namespace {

using base::WipedJson;
using base::WipedString;
using keys::Secret;

constexpr std::string_view format = "countermark.keyring/1";
constexpr auto broken = ErrorCode::InvalidKeyRing;

WipedString wiped(std::string_view text) { return {text.begin(), text.end()}; }

Secret read_secret(const WipedJson& entry, const std::string& what) {
  if (entry.contains("sealed")) {
    fail(ErrorCode::UnsupportedFormat, what,
         " is sealed, and this version cannot open sealed secrets");
  }
  const WipedJson& field = base::require_field(entry, "secret", broken, what);
  std::array<std::uint8_t, Secret::size_bytes> bytes = {};
  const bool valid =
      field.is_string() && base::from_hex(field.get_ref<const WipedString&>(), bytes);
  // The value itself stays out of the message.
  if (!valid) fail(broken, what, ": field \"secret\" must be 64 hex digits");
  Secret secret(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

KeyRingEntry read_entry(const WipedJson& json, const std::string& what) {
  const std::string key_id = base::require_string(json, "key_id", broken, what);
  KeyRingEntry entry{read_secret(json, what), {}, json};
  const std::string commitment = keys::commitment(entry.secret);
  if (key_id != keys::key_id(commitment)) {
    fail(broken, what, ": key_id is ", key_id, ", but the secret's is ", keys::key_id(commitment));
  }
  const WipedJson& list = base::require_field(json, "profiles", broken, what);
  if (!list.is_array()) fail(broken, what, ": field \"profiles\" must be an array");
  for (const WipedJson& item : list) {
    const WipedString text = item.dump();
    Profile profile = profiles::make(
        base::parse_json(std::string_view(text), ErrorCode::InvalidProfile, what + ": profile"));
    if (profile.commitment() != commitment) {
      fail(broken, what, ": profile ", profile.id(), " is committed to another key (",
           profile.key_id(), ") than the entry's (", key_id, ")");
    }
    entry.profiles.push_back(std::move(profile));
  }
  for (const char* known : {"key_id", "secret", "profiles"}) entry.unknown_fields.erase(known);
  return entry;
}

WipedJson write_entry(const KeyRingEntry& entry) {
  WipedJson json = entry.unknown_fields;
  const std::string commitment = keys::commitment(entry.secret);
  json["key_id"] = wiped(keys::key_id(commitment));
  std::string hex = base::to_hex(entry.secret.reveal());
  json["secret"] = wiped(hex);
  OPENSSL_cleanse(hex.data(), hex.size());
  json["profiles"] = WipedJson::array();
  for (const Profile& profile : entry.profiles) {
    json["profiles"].push_back(WipedJson::parse(profile.to_json()));
  }
  return json;
}

bool environment_allows_readable() {
  const char* value = std::getenv("COUNTERMARK_ALLOW_READABLE_KEYS");
  return value != nullptr && std::string_view(value) == "1";
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

KeyRing::KeyRing(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyRing::KeyRing(const KeyRing& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
KeyRing& KeyRing::operator=(const KeyRing& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
KeyRing::~KeyRing() = default;

KeyRing KeyRing::generate() { return KeyRing(std::make_unique<Impl>()); }

KeyRing KeyRing::open(const std::filesystem::path& path, const OpenOptions& options) {
  const bool readable = options.allow_readable_by_others || environment_allows_readable();
  const WipedString text = base::read_file(path, !readable);
  const std::string what = "key ring " + path.string();
  WipedJson json = base::parse_json<WipedJson>(text, broken, what);
  const std::string found = base::require_string(json, "format", broken, what);
  if (found != format) {
    fail(ErrorCode::UnsupportedFormat, what, ": format \"", found,
         "\" is not one this version reads (", format, "); a newer version may");
  }
  const WipedJson& list = base::require_field(json, "entries", broken, what);
  if (!list.is_array()) fail(broken, what, ": field \"entries\" must be an array");

  auto impl = std::make_unique<Impl>();
  std::vector<std::string> ids;
  for (const WipedJson& item : list) {
    impl->entries.push_back(
        read_entry(item, what + ": entry " + std::to_string(impl->entries.size())));
    for (const Profile& profile : impl->entries.back().profiles) ids.push_back(profile.id());
  }
  std::sort(ids.begin(), ids.end());
  if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end()) {
    fail(broken, what, ": profile id ", *twice, " occurs twice");
  }
  for (const char* known : {"format", "entries"}) json.erase(known);
  impl->unknown_fields = std::move(json);
  return KeyRing(std::move(impl));
}

void KeyRing::save(const std::filesystem::path& path) const {
  WipedJson json = impl_->unknown_fields;
  json["format"] = wiped(format);
  json["entries"] = WipedJson::array();
  for (const KeyRingEntry& entry : impl_->entries) json["entries"].push_back(write_entry(entry));
  const WipedString text = json.dump(2) + "\n";
  base::replace_file(path, text);
}

Profile KeyRing::create_profile(std::string_view id, const ProfileOptions& options) {
  const Secret secret = Secret::generate();
  return import_secret(id, secret.reveal(), options);
}

Profile KeyRing::import_secret(std::string_view id, std::span<const std::uint8_t> bytes,
                               const ProfileOptions& options) {
  Secret secret(bytes);
  Profile profile = profiles::make(id, options, keys::commitment(secret));
  KeyRingEntry* home = nullptr;
  for (KeyRingEntry& entry : impl_->entries) {
    for (const Profile& other : entry.profiles) {
      if (other.id() == id) {
        fail(ErrorCode::InvalidOption, "the key ring has a profile \"", id, "\" already");
      }
    }
    if (entry.secret == secret) home = &entry;
  }
  if (home == nullptr) {
    impl_->entries.push_back({std::move(secret), {}, WipedJson::object()});
    home = &impl_->entries.back();
  }
  home->profiles.push_back(profile);
  return profile;
}

Profile KeyRing::retire(std::string_view id) {
  impl_->find(id);
  for (KeyRingEntry& entry : impl_->entries) {
    for (Profile& profile : entry.profiles) {
      if (profile.id() != id) continue;
      base::Json json = profile.impl().json;
      json["status"] = "retired";
      profile = profiles::make(std::move(json));
      return profile;
    }
  }
  return profile(id);
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
