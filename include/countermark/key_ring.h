// Secrets and the profiles that use them, in memory and on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "countermark/export.h"
#include "countermark/profile.h"

namespace countermark {

/// How a key ring file may be opened.
struct OpenOptions {
  /// Accept a file that users other than its owner can read (Kubernetes mounts secrets so). The
  /// environment variable COUNTERMARK_ALLOW_READABLE_KEYS=1 does the same.
  bool allow_readable_by_others = false;
};

/// What belongs to an engine's key.
struct EngineKeyOptions {
  /// The mark's parameters as a JSON object; those left out take the engine's defaults.
  std::string parameters_json = "{}";
  /// As in ProfileOptions.
  std::optional<TokenizerInfo> tokenizer = {};
};

/// The secrets of a provider, each with the profiles that use it.
///
/// A secret has no accessor: samplers and detectors take it from here. It is wiped when the last
/// of them is gone, lies in pages that core dumps leave out, and reaches a file only by save().
/// Copies are independent rings over shared secrets. Const access is thread-safe.
class COUNTERMARK_API KeyRing {
 public:
  /// An empty ring. Secrets are drawn by create_profile().
  static KeyRing generate();

  /// Reads a `countermark.keyring/1` file. Throws Error(FileFailure), Error(ReadableByOthers),
  /// Error(InvalidKeyRing), Error(UnsupportedFormat), Error(UnknownMark) or Error(InvalidProfile).
  static KeyRing open(const std::filesystem::path& path, const OpenOptions& options = {});

  /// Writes the ring atomically with mode 0600: a reader sees the old file or the new one, and a
  /// crash loses neither. Throws Error(FileFailure).
  void save(const std::filesystem::path& path) const;

  /// Draws a fresh 32-byte secret from the system's generator and adds a profile for it.
  /// Throws Error(InvalidOption) naming the field, or where `id` is taken or malformed (1 to 128
  /// printable ASCII characters without spaces).
  Profile create_profile(std::string_view id, const ProfileOptions& options = {});

  /// Adds a profile for a secret that came from elsewhere: exactly 32 bytes, else
  /// Error(InvalidKey). The caller wipes its own copy. Two profiles may share a secret.
  Profile import_secret(std::string_view id, std::span<const std::uint8_t> secret,
                        const ProfileOptions& options = {});

  /// Adds a profile for the mark of another engine (`vllm/gumbel-1`, ...: docs/engines.md) and that
  /// engine's own key: the numbers that its contract asks for, one for most. The caller
  /// wipes its own copy. Such a key is too short to be committed to; the profile's key_id is
  /// random. Throws Error(UnknownMark), Error(InvalidKey), Error(InvalidOption) or
  /// Error(InvalidProfile).
  Profile import_engine_key(std::string_view id, std::string_view mark,
                            std::span<const std::uint64_t> key,
                            const EngineKeyOptions& options = {});

  /// Retires a profile: it goes on detecting and marks nothing new. Throws Error(UnknownProfile).
  Profile retire(std::string_view id);

  /// Every profile, in the order of the file.
  std::vector<Profile> profiles() const;

  /// Throws Error(UnknownProfile), naming the profiles there are.
  Profile profile(std::string_view id) const;

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }  // for the library itself

  KeyRing(const KeyRing& other);
  KeyRing& operator=(const KeyRing& other);
  ~KeyRing();

 private:
  explicit KeyRing(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countermark
