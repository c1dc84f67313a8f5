// Memory that core dumps leave out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace countermark::base {

/// `size` bytes, 1 or more, in pages of their own: left out of core dumps, kept from swap where the
/// system's limits allow, and wiped before they are given back. Throws std::bad_alloc.
std::shared_ptr<std::uint8_t> private_pages(std::size_t size);

/// A whole file mapped into memory, left out of core dumps too. Who truncates it meanwhile ends the
/// process; appending is harmless.
struct MappedFile {
  std::shared_ptr<const std::uint8_t> pages;
  std::size_t size = 0;

  std::span<const std::uint8_t> bytes() const noexcept { return {pages.get(), size}; }
};

/// With `private_only`, throws Error(ReadableByOthers) where the group or others may read the file.
/// Throws Error(FileFailure).
MappedFile map_file(const std::filesystem::path& path, bool private_only);

}  // namespace countermark::base
