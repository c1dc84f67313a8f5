#include "trace/account_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json_header.h"
#include "base/private_pages.h"

namespace countermark::trace {
namespace {

constexpr std::size_t key_size = 16;
using base::header_size;
constexpr std::string_view format = "countermark.accounts/1";
constexpr ErrorCode broken = ErrorCode::InvalidAccounts;

/// Keys derived by one thread at a time, and between two calls of the progress.
constexpr std::size_t at_once = 4096;
constexpr std::size_t between_calls = at_once * 256;

void store(std::uint8_t* to, const keys::AccountKey& key) noexcept {
  base::store(to, key.a1);
  base::store(to + 8, key.a2);
}

keys::AccountKey load(const std::uint8_t* from) noexcept {
  return {base::load<std::uint64_t>(from), base::load<std::uint64_t>(from + 8)};
}

/// The keys of `accounts`, at most between_calls, to `to`.
void derive_some(const marks::Countermark1& mark, std::span<const std::uint64_t> accounts,
                 base::Workers& workers, std::uint8_t* to) {
  workers.run((accounts.size() + at_once - 1) / at_once, [&](std::size_t part) {
    keys::AccountKeys keys = mark.account_keys();
    const std::size_t end = std::min(accounts.size(), (part + 1) * at_once);
    for (std::size_t i = part * at_once; i < end; ++i) {
      store(to + key_size * i, keys.of(accounts[i]));
    }
  });
}

std::string header_for(const std::string& key_id) {
  return base::write_header({{"format", format}, {"mark", "countermark/1"}, {"key_id", key_id}});
}

std::span<const std::uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void check_header(const std::filesystem::path& path, std::span<const std::uint8_t> bytes,
                  const std::string& key_id) {
  base::read_header(bytes, format, key_id, broken, "account index " + path.string());
}

/// A few accounts spread over `count` of them, the first and the last included.
template <typename KeyAt>
void check_some(const std::filesystem::path& path, const marks::Countermark1& mark,
                std::span<const std::uint64_t> accounts, std::size_t count, KeyAt&& key_at) {
  constexpr std::size_t looked_at = 64;
  keys::AccountKeys keys = mark.account_keys();
  const std::size_t several = std::min(count, looked_at);
  for (std::size_t k = 0; k < several; ++k) {
    const std::size_t i = several == 1 ? 0 : k * (count - 1) / (several - 1);
    if (!(key_at(i) == keys.of(accounts[i]))) {
      fail(broken, "account index ", path.string(), ": row ", i, " is not the key of account ",
           accounts[i], " (are these the accounts it was made of, in the same order?)");
    }
  }
}

void tell(const Progress& progress, std::size_t done, std::size_t total) {
  if (progress) progress(done, total);
}

/// Derives the keys from row `begin` on and writes them.
void append(base::File& file, const marks::Countermark1& mark,
            std::span<const std::uint64_t> accounts, std::size_t begin, base::Workers& workers,
            const Progress& progress) {
  const auto keys = base::private_pages(between_calls * key_size);
  for (std::size_t i = begin; i < accounts.size(); i += between_calls) {
    tell(progress, i, accounts.size());
    const auto some = accounts.subspan(i, std::min(between_calls, accounts.size() - i));
    derive_some(mark, some, workers, keys.get());
    file.write(header_size + i * key_size, {keys.get(), some.size() * key_size});
  }
  tell(progress, accounts.size(), accounts.size());
}

}  // namespace

AccountKeys AccountKeys::derive(const marks::Countermark1& mark,
                                std::span<const std::uint64_t> accounts, base::Workers& workers,
                                const Progress& progress) {
  const auto keys = base::private_pages(accounts.size() * key_size);
  for (std::size_t i = 0; i < accounts.size(); i += between_calls) {
    tell(progress, i, accounts.size());
    derive_some(mark, accounts.subspan(i, std::min(between_calls, accounts.size() - i)), workers,
                keys.get() + i * key_size);
  }
  tell(progress, accounts.size(), accounts.size());
  return {keys, accounts.size()};
}

AccountKeys AccountKeys::open(const std::filesystem::path& index, const std::string& key_id,
                              const marks::Countermark1& mark,
                              std::span<const std::uint64_t> accounts, bool private_only) {
  const base::MappedFile file = base::map_file(index, private_only);
  check_header(index, file.bytes(), key_id);
  const std::size_t count = (file.size - header_size) / key_size;
  if (count < accounts.size()) {
    fail(broken, "account index ", index.string(), " has the keys of ", count, " accounts, of ",
         accounts.size(), ": append the others to it (countermark accounts index)");
  }
  if (count > accounts.size()) {
    fail(broken, "account index ", index.string(), " has the keys of ", count,
         " accounts, and there are only ", accounts.size());
  }
  AccountKeys keys({file.pages, file.pages.get() + header_size}, count);
  check_some(index, mark, accounts, count, [&](std::size_t i) { return keys[i]; });
  return keys;
}

keys::AccountKey AccountKeys::operator[](std::size_t i) const noexcept {
  return load(keys_.get() + i * key_size);
}

std::size_t write_index(const std::filesystem::path& path, const std::string& key_id,
                        const marks::Countermark1& mark, std::span<const std::uint64_t> accounts,
                        bool private_only, base::Workers& workers, const Progress& progress) {
  std::error_code missing;
  if (!std::filesystem::exists(path, missing)) {
    base::NewFile created(path);
    created.file().write(0, as_bytes(header_for(key_id)));
    append(created.file(), mark, accounts, 0, workers, progress);
    created.keep();
    return accounts.size();
  }
  base::File file = base::File::open_to_write(path, private_only);
  file.lock();
  std::array<std::uint8_t, header_size> header = {};
  check_header(path, std::span(header).first(file.read(0, header)), key_id);
  // A crash while appending may have left a part of a key.
  const std::size_t count = (file.size() - header_size) / key_size;
  if (count > accounts.size()) {
    fail(broken, "account index ", path.string(), " has the keys of ", count,
         " accounts already, and there are only ", accounts.size());
  }
  check_some(path, mark, accounts, count, [&](std::size_t i) {
    std::array<std::uint8_t, key_size> bytes = {};
    file.read(header_size + i * key_size, bytes);
    return load(bytes.data());
  });
  if ((file.size() - header_size) % key_size != 0) file.truncate(header_size + count * key_size);
  append(file, mark, accounts, count, workers, progress);
  file.sync();
  return accounts.size() - count;
}

}  // namespace countermark::trace
