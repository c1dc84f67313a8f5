// Files that hold secrets: read, replaced, or grown at their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/wiped.h"

namespace countermark::base {

/// An open regular file.
class File {
 public:
  /// For reading. With `private_only`, throws Error(ReadableByOthers) where the group or others may
  /// read or write it. Throws Error(FileFailure).
  static File open(const std::filesystem::path& path, bool private_only);
  /// The same for reading and writing.
  static File open_to_write(const std::filesystem::path& path, bool private_only);

  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  int descriptor() const noexcept { return descriptor_; }
  /// All of these throw Error(FileFailure).
  std::size_t size() const;
  /// Fewer bytes than asked for where the file ends.
  std::size_t read(std::size_t from, std::span<std::uint8_t> bytes) const;
  void write(std::size_t from, std::span<const std::uint8_t> bytes);
  void truncate(std::size_t size);
  /// Until it is closed; against those who lock it too, and without waiting for them.
  void lock();
  /// Returns when everything has reached the disk.
  void sync();

 private:
  friend class NewFile;
  File(std::filesystem::path path, int descriptor) noexcept;

  std::filesystem::path path_;
  int descriptor_;
};

/// A file of mode 0600 that takes its name when it is complete: a reader sees the old file or the
/// new one, and a crash loses neither.
class NewFile {
 public:
  /// What a symbolic link points to will be replaced, not the link. Throws Error(FileFailure).
  explicit NewFile(const std::filesystem::path& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  /// Without keep(), nothing has happened.
  ~NewFile();

  File& file() noexcept { return file_; }
  /// Puts it in place, durably. Throws Error(FileFailure), and then the old file is untouched.
  void keep();

 private:
  std::filesystem::path path_;
  std::string temporary_;
  File file_;
};

/// Whether files with secrets are refused where others may read them: unless the option, or
/// COUNTERMARK_ALLOW_READABLE_KEYS=1 in the environment, allows it.
bool is_private_only(bool allow_readable_by_others);

/// The whole file, as File::open.
WipedString read_file(const std::filesystem::path& path, bool private_only);

/// Replaces the file by `content`, as NewFile.
void replace_file(const std::filesystem::path& path, std::string_view content);

/// Throws Error(FileFailure): "cannot `what` `path`: " and what errno means.
[[noreturn]] void fail_file(const char* what, const std::filesystem::path& path, int error);

}  // namespace countermark::base
