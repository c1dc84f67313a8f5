// The keys of all accounts, in memory or in a file that is mapped into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/workers.h"
#include "countermark/tracer.h"
#include "keys/derivation.h"
#include "marks/countermark_1.h"

namespace countermark::trace {

class AccountKeys {
 public:
  /// Derives them. Throws Error(CryptoFailure).
  static AccountKeys derive(const marks::Countermark1& mark,
                            std::span<const std::uint64_t> accounts, base::Workers& workers,
                            const Progress& progress);

  /// Maps an index of the key `key_id`, and looks at some of its keys. Throws
  /// Error(InvalidAccounts) where it is not that of these accounts, Error(UnsupportedFormat),
  /// Error(FileFailure) or Error(ReadableByOthers).
  static AccountKeys open(const std::filesystem::path& index, const std::string& key_id,
                          const marks::Countermark1& mark, std::span<const std::uint64_t> accounts,
                          bool private_only);

  std::size_t size() const noexcept { return size_; }
  keys::AccountKey operator[](std::size_t i) const noexcept;

 private:
  AccountKeys(std::shared_ptr<const std::uint8_t> keys, std::size_t size) noexcept
      : keys_(std::move(keys)), size_(size) {}

  /// 16 bytes each: a1 and a2, little-endian.
  std::shared_ptr<const std::uint8_t> keys_;
  std::size_t size_;
};

/// Writes or lengthens an index; see build_account_index(). Returns how many keys were added.
std::size_t write_index(const std::filesystem::path& path, const std::string& key_id,
                        const marks::Countermark1& mark, std::span<const std::uint64_t> accounts,
                        bool private_only, base::Workers& workers, const Progress& progress);

}  // namespace countermark::trace
