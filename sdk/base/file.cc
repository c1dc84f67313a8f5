#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/fail.h"

namespace countermark::base {
namespace {

struct stat status_of(int descriptor, const std::filesystem::path& path) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) fail_file("examine", path, errno);
  return status;
}

int open_descriptor(const std::filesystem::path& path, int mode) {
  // O_NONBLOCK, lest a pipe be waited for; it means nothing for regular files.
  const int descriptor = ::open(path.c_str(), mode | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_file("open", path, errno);
  return descriptor;
}

/// Of the open file, not of the path: nobody can swap it in between.
void examine(int descriptor, const std::filesystem::path& path, bool private_only) {
  const struct stat status = status_of(descriptor, path);
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorCode::FileFailure, "cannot read ", path.string(), ": it is not a regular file");
  }
  if (private_only && (status.st_mode & (S_IRGRP | S_IROTH | S_IWGRP | S_IWOTH)) != 0) {
    fail(ErrorCode::ReadableByOthers, path.string(),
         " can be read or changed by other users (mode 0", std::oct, status.st_mode & 0777,
         "): run chmod 600 on it, or allow it explicitly (option, or "
         "COUNTERMARK_ALLOW_READABLE_KEYS=1) where the platform mounts secrets so");
  }
}

/// What a symbolic link points to.
std::filesystem::path resolved(const std::filesystem::path& link) {
  std::error_code missing;
  auto path = std::filesystem::canonical(link, missing);
  return missing ? link : path;
}

/// Makes `pattern` the name of a new file of mode 0600.
int make_temporary(std::string& pattern, const std::filesystem::path& path) {
  const int descriptor = ::mkstemp(pattern.data());
  if (descriptor < 0) fail_file("write", path, errno);
  return descriptor;
}

}  // namespace

void fail_file(const char* what, const std::filesystem::path& path, int error) {
  fail(ErrorCode::FileFailure, "cannot ", what, " ", path.string(), ": ", std::strerror(error));
}

File::File(std::filesystem::path path, int descriptor) noexcept
    : path_(std::move(path)), descriptor_(descriptor) {}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File File::open(const std::filesystem::path& path, bool private_only) {
  File file(path, open_descriptor(path, O_RDONLY));
  examine(file.descriptor_, path, private_only);
  return file;
}

File File::open_to_write(const std::filesystem::path& path, bool private_only) {
  File file(path, open_descriptor(path, O_RDWR));
  examine(file.descriptor_, path, private_only);
  return file;
}

std::size_t File::size() const {
  return static_cast<std::size_t>(status_of(descriptor_, path_).st_size);
}

std::size_t File::read(std::size_t from, std::span<std::uint8_t> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(from + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_file("read", path_, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void File::write(std::size_t from, std::span<const std::uint8_t> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(from + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_file("write", path_, errno);
    done += static_cast<std::size_t>(put);
  }
}

void File::lock() {
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) fail_file("lock", path_, errno);
  fail(ErrorCode::FileFailure, path_.string(), " is being written by another process");
}

void File::truncate(std::size_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail_file("write", path_, errno);
}

void File::sync() {
  if (::fsync(descriptor_) != 0) fail_file("write", path_, errno);
}

NewFile::NewFile(const std::filesystem::path& path)
    : path_(resolved(path)),
      temporary_(path_.string() + ".XXXXXX"),
      file_(path_, make_temporary(temporary_, path_)) {}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void NewFile::keep() {
  file_.sync();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_file("replace", path_, errno);
  temporary_.clear();
  // The new name must survive a power cut too. Some file systems refuse to sync a directory; the
  // file is in place all the same.
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

bool is_private_only(bool allow_readable_by_others) {
  const char* value = std::getenv("COUNTERMARK_ALLOW_READABLE_KEYS");
  return !allow_readable_by_others && (value == nullptr || std::string_view(value) != "1");
}

WipedString read_file(const std::filesystem::path& path, bool private_only) {
  const File file = File::open(path, private_only);
  WipedString content(file.size(), '\0');
  content.resize(file.read(0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()}));
  return content;
}

void replace_file(const std::filesystem::path& path, std::string_view content) {
  NewFile created(path);
  created.file().write(0, {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()});
  created.keep();
}

}  // namespace countermark::base
