#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/fail.h"

namespace countermark::base {
namespace {

[[noreturn]] void fail_file(const char* what, const std::filesystem::path& path, int error) {
  fail(ErrorCode::FileFailure, "cannot ", what, " ", path.string(), ": ", std::strerror(error));
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Removes the temporary file unless it took the place of the real one.
struct Temporary {
  std::string path;
  ~Temporary() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

}  // namespace

WipedString read_file(const std::filesystem::path& path, bool private_only) {
  // O_NONBLOCK, lest a pipe be waited for; it means nothing for regular files.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail_file("open", path, errno);
  struct stat status = {};
  // Of the open file, not of the path: nobody can swap it in between.
  if (::fstat(file.get(), &status) != 0) fail_file("examine", path, errno);
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorCode::FileFailure, "cannot read ", path.string(), ": it is not a regular file");
  }
  if (private_only && (status.st_mode & (S_IRGRP | S_IROTH)) != 0) {
    fail(ErrorCode::ReadableByOthers, path.string(), " can be read by other users (mode 0",
         std::oct, status.st_mode & 0777,
         "): run chmod 600 on it, or allow it explicitly (option, or "
         "COUNTERMARK_ALLOW_READABLE_KEYS=1) where the platform mounts secrets so");
  }
  WipedString content(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = ::read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_file("read", path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  content.resize(done);
  return content;
}

void replace_file(const std::filesystem::path& link, std::string_view content) {
  // What a symbolic link points to is replaced, not the link.
  std::error_code missing;
  const auto resolved = std::filesystem::canonical(link, missing);
  const std::filesystem::path& path = missing ? link : resolved;
  Temporary temporary{path.string() + ".XXXXXX"};
  // mkstemp creates it with mode 0600.
  const FileDescriptor file(::mkstemp(temporary.path.data()));
  if (file.get() < 0) {
    const int error = errno;
    temporary.path.clear();
    fail_file("write", path, error);
  }
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t put = ::write(file.get(), content.data() + done, content.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_file("write", path, errno);
    done += static_cast<std::size_t>(put);
  }
  if (::fsync(file.get()) != 0) fail_file("write", path, errno);
  if (::rename(temporary.path.c_str(), path.c_str()) != 0) fail_file("replace", path, errno);
  temporary.path.clear();

  // The new name must survive a power cut too. Some file systems refuse to sync a directory; the
  // file is in place all the same.
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

}  // namespace countermark::base
