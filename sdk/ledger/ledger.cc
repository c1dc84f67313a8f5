#include "countermark/ledger.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json_header.h"
#include "keys/derivation.h"
#include "ledger/ledger_impl.h"
#include "profiles/key_ring_impl.h"

namespace countermark {
namespace {

constexpr std::string_view format = "countermark.ledger/1";
constexpr ErrorCode broken = ErrorCode::InvalidLedger;
using base::header_size;
/// So many contexts to a word of eight bytes.
constexpr std::size_t contexts_to_a_word = 4;
constexpr std::size_t most_contexts = 100'000'000'000;
/// Words read or written at once.
constexpr std::size_t at_once = std::size_t{1} << 16;

std::shared_ptr<Ledger::Impl> make(const KeyRing& ring, std::string_view profile_id,
                                   std::size_t words) {
  const auto [entry, profile] = ring.impl().find(profile_id);
  if (profiles::is_engine(*profile)) {
    fail(ErrorCode::UnknownMark, "profile \"", profile_id, "\" has the mark ", profile->mark(),
         "; ledgers are kept for countermark/1");
  }
  const marks::Countermark1Parameters parameters = profiles::parameters_of(*profile);
  if (parameters.narrow_units == 0) {
    fail(ErrorCode::InvalidOption, "profile \"", profile_id,
         "\" has no narrow layer, whose contexts a ledger holds: narrow_units is 0");
  }
  return std::make_shared<Ledger::Impl>(
      Ledger::Impl{*profile, marks::Countermark1(entry->secret, parameters),
                   keys::derive(entry->secret, "ledger"), ledger::BloomFilter(words)});
}

std::string header_for(const Ledger::Impl& impl) {
  const base::Json json = {{"format", format},
                           {"mark", "countermark/1"},
                           {"key_id", impl.profile.key_id()},
                           {"narrow_width", impl.mark.parameters().narrow_width},
                           {"words", impl.filter.size()}};
  return base::write_header(json);
}

std::int64_t require_number(const base::Json& json, const char* name, const std::string& what) {
  const base::Json& field = base::require_field(json, name, broken, what);
  if (!field.is_number_integer()) fail(broken, what, ": field \"", name, "\" must be a number");
  return field.get<std::int64_t>();
}

/// The number of words of a file of `size` bytes, by its header.
std::size_t read_words(const base::File& file, std::size_t size, const std::string& what,
                       const Profile& profile, std::int64_t width) {
  std::array<std::uint8_t, header_size> bytes = {};
  const base::Json json = base::read_header(std::span(bytes).first(file.read(0, bytes)), format,
                                            profile.key_id(), broken, what);
  const std::int64_t its_width = require_number(json, "narrow_width", what);
  if (its_width != width) {
    fail(broken, what, " holds contexts of ", its_width, " tokens, the profile's narrow_width is ",
         width);
  }
  const std::int64_t words = require_number(json, "words", what);
  constexpr std::size_t most_words = most_contexts / contexts_to_a_word;
  if (words < 1 || static_cast<std::uint64_t>(words) > most_words) {
    fail(broken, what, ": words must be in 1..", most_words, ", got ", words);
  }
  const std::size_t expected =
      header_size + sizeof(std::uint64_t) * static_cast<std::size_t>(words);
  if (size != expected) {
    fail(broken, what, " has ", size, " bytes, and its header announces ", expected,
         size < expected ? ": it is truncated" : "");
  }
  return static_cast<std::size_t>(words);
}

}  // namespace

bool Ledger::Impl::is_of(const Profile& other) const noexcept {
  return profile.key_id() == other.key_id() && !profiles::is_engine(other) &&
         mark.parameters().narrow_width == profiles::parameters_of(other).narrow_width;
}

void Ledger::Impl::require_of(const Profile& other) const {
  if (is_of(other)) return;
  fail(broken, "the ledger is of key ", profile.key_id(), " and narrow_width ",
       mark.parameters().narrow_width, "; profile \"", other.id(), "\" has another");
}

Ledger::Ledger(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Ledger::Ledger(const KeyRing& ring, std::string_view profile_id, const LedgerOptions& options) {
  if (options.contexts < 1 || options.contexts > most_contexts) {
    fail(ErrorCode::InvalidOption, "contexts must be in 1..", most_contexts, ", got ",
         options.contexts);
  }
  impl_ = make(ring, profile_id, (options.contexts - 1) / contexts_to_a_word + 1);
}

Ledger Ledger::open(const KeyRing& ring, std::string_view profile_id,
                    const std::filesystem::path& path) {
  // Whoever may read it learns nothing without the key.
  const base::File file = base::File::open(path, false);
  const auto empty = make(ring, profile_id, 1);
  const std::size_t words = read_words(file, file.size(), "ledger " + path.string(), empty->profile,
                                       empty->mark.parameters().narrow_width);
  auto impl = make(ring, profile_id, words);
  std::vector<std::uint8_t> bytes(at_once * sizeof(std::uint64_t));
  for (std::size_t begin = 0; begin < words; begin += at_once) {
    const std::size_t count = std::min(at_once, words - begin);
    const std::span<std::uint8_t> part(bytes.data(), count * sizeof(std::uint64_t));
    if (file.read(header_size + begin * sizeof(std::uint64_t), part) < part.size()) {
      fail(broken, "ledger ", path.string(), " is truncated");
    }
    for (std::size_t i = 0; i < count; ++i) {
      impl->filter.merge(begin + i, base::load<std::uint64_t>(&bytes[i * sizeof(std::uint64_t)]));
    }
  }
  return Ledger(std::move(impl));
}

void Ledger::save(const std::filesystem::path& path) const {
  base::NewFile file(path);
  const std::string header = header_for(*impl_);
  file.file().write(0, {reinterpret_cast<const std::uint8_t*>(header.data()), header.size()});
  std::vector<std::uint8_t> bytes(at_once * sizeof(std::uint64_t));
  const std::size_t words = impl_->filter.size();
  for (std::size_t begin = 0; begin < words; begin += at_once) {
    const std::size_t count = std::min(at_once, words - begin);
    for (std::size_t i = 0; i < count; ++i) {
      base::store(&bytes[i * sizeof(std::uint64_t)], impl_->filter.word(begin + i));
    }
    file.file().write(header_size + begin * sizeof(std::uint64_t),
                      {bytes.data(), count * sizeof(std::uint64_t)});
  }
  file.keep();
}

void Ledger::merge(const Ledger& other) {
  if (!impl_->is_of(other.impl_->profile)) {
    fail(broken, "a ledger of key ", other.impl_->profile.key_id(), " and narrow_width ",
         other.impl_->mark.parameters().narrow_width, " does not merge into one of key ",
         impl_->profile.key_id(), " and narrow_width ", impl_->mark.parameters().narrow_width);
  }
  if (impl_->filter.size() != other.impl_->filter.size()) {
    fail(broken, "a ledger of ", other.bytes(), " bytes does not merge into one of ", bytes(),
         ": make both for the same number of contexts");
  }
  for (std::size_t i = 0; i < impl_->filter.size(); ++i) {
    impl_->filter.merge(i, other.impl_->filter.word(i));
  }
}

void Ledger::add_response(std::span<const TokenId> tokens) {
  profiles::require_ids(impl_->profile, "tokens", tokens);
  marks::Walk walk(impl_->mark);
  walk.reserve(tokens.size());
  for (const TokenId token : tokens) {
    if (const ErrorCode code = walk.observe(token); code != ErrorCode::Ok) {
      fail(code, error_description(code));
    }
  }
  const auto& parameters = impl_->mark.parameters();
  impl_->record(walk.places(), [&](std::size_t i) { return !parameters.in_free_prefix(i); });
  // Where the response ended the mark may have drawn a token that the log has not.
  impl_->record({&walk.next(), 1},
                [&](std::size_t) { return !parameters.in_free_prefix(tokens.size()); });
}

bool Ledger::contains(std::span<const TokenId> tokens) const {
  const std::int64_t width = impl_->mark.parameters().narrow_width;
  if (tokens.size() < static_cast<std::size_t>(width)) {
    fail(ErrorCode::SizeMismatch, "a context has ", width, " tokens, got ", tokens.size());
  }
  const keys::Block context = marks::context_of(tokens, width);
  return impl_->contains(impl_->mark.narrow_seeds({&context, 1}).front());
}

double Ledger::contexts() const noexcept { return impl_->filter.elements(); }
double Ledger::false_positive_rate() const noexcept { return impl_->filter.false_positive_rate(); }
std::size_t Ledger::bytes() const noexcept {
  return impl_->filter.size() * sizeof(ledger::BloomFilter::Word);
}

}  // namespace countermark
