// Files for what reads files.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "fuzz/check.h"

namespace countermark::fuzz {

/// A file of its own for this process, gone again at exit.
class File {
 public:
  File() : descriptor_(::mkstemp(path_.data())) {
    check(descriptor_ >= 0, "the temporary file can be made");
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    ::close(descriptor_);
    ::unlink(path_.data());
  }

  const char* path() const { return path_.data(); }

  void write(std::string_view text) const {
    check(::ftruncate(descriptor_, 0) == 0, "the temporary file can be written");
    const auto put = ::pwrite(descriptor_, text.data(), text.size(), 0);
    check(put == static_cast<ssize_t>(text.size()), "the temporary file can be written");
  }

 private:
  std::array<char, 35> path_ = {"/tmp/countermark_fuzz.XXXXXX"};
  int descriptor_;
};

/// What `save(path)` writes.
template <typename Save>
std::string saved(Save&& save) {
  const File file;
  const std::string path = std::string(file.path()) + ".saved";
  save(path);
  std::ifstream stream(path, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(stream), {});
  ::unlink(path.c_str());
  return content;
}

/// `sound`, overwritten somewhere: few bytes alone would never come near a sound file.
inline std::string damaged(std::string sound, const std::uint8_t* data, std::string_view by) {
  sound.replace((data[0] + 256U * data[1]) % sound.size(), by.size(), by);
  return sound;
}

}  // namespace countermark::fuzz
