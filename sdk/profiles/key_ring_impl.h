// What is behind a KeyRing: for the sampler and the detector, which take secrets from it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "countermark/key_ring.h"
#include "keys/secret.h"

namespace countermark {

/// A secret and the profiles that use it.
struct KeyRingEntry {
  /// The beginning of the secret's commitment; of an engine's key drawn at random.
  std::string key_id;
  keys::Secret secret;
  std::vector<Profile> profiles;
  /// Fields of the file that this version does not know; null: none.
  std::shared_ptr<const base::Json> unknown_fields;
};

struct KeyRing::Impl {
  std::vector<KeyRingEntry> entries;
  std::shared_ptr<const base::Json> unknown_fields;

  /// The entry and the profile called `id`. Throws Error(UnknownProfile).
  std::pair<const KeyRingEntry*, const Profile*> find(std::string_view id) const;

  /// The same for each of the ids. Throws Error(UnknownProfile), also where there is no id, and
  /// Error(InvalidOption) where one is named twice.
  std::vector<std::pair<const KeyRingEntry*, const Profile*>> find_all(
      std::span<const std::string> ids) const;
};

}  // namespace countermark
