#include "base/private_pages.h"

#include <openssl/crypto.h>
#include <sys/mman.h>

#include <cerrno>
#include <new>

#include "base/file.h"

namespace countermark::base {
namespace {

void leave_out_of_dumps(void* pages, std::size_t size) noexcept {
#if defined(MADV_DONTDUMP)
  ::madvise(pages, size, MADV_DONTDUMP);
#endif
}

}  // namespace

std::shared_ptr<std::uint8_t> private_pages(std::size_t size) {
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  leave_out_of_dumps(pages, size);
  // Best effort: a container may allow no locked memory at all.
  ::mlock(pages, size);
  return {static_cast<std::uint8_t*>(pages), [size](std::uint8_t* bytes) {
            OPENSSL_cleanse(bytes, size);
            ::munmap(bytes, size);
          }};
}

MappedFile map_file(const std::filesystem::path& path, bool private_only) {
  const File file = File::open(path, private_only);
  const std::size_t size = file.size();
  if (size == 0) return {};
  void* pages = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (pages == MAP_FAILED) fail_file("map", path, errno);
  leave_out_of_dumps(pages, size);
  return {{static_cast<const std::uint8_t*>(pages),
           [size](const std::uint8_t* bytes) { ::munmap(const_cast<std::uint8_t*>(bytes), size); }},
          size};
}

}  // namespace countermark::base
