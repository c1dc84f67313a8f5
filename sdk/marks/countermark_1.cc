#include "marks/countermark_1.h"

#include <algorithm>
#include <limits>

#include "base/fail.h"
#include "base/json.h"

namespace countermark::marks {
namespace {

// Conditions say what must hold.
void require(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  fail(ErrorCode::InvalidOption, name, " must be in ", low, "..", high, ", got ", value);
}

}  // namespace

void Countermark1Parameters::validate() const {
  constexpr std::int64_t all_units = 65536;
  require("narrow_width", narrow_width, 1, 4);
  require("wide_width", wide_width, 1, 4);
  require("narrow_units", narrow_units, 0, all_units);
  if (!(free_units >= 0 && free_units <= all_units - narrow_units)) {
    fail(ErrorCode::InvalidOption, "free_units must be in 0..", all_units - narrow_units,
         " (65536 - narrow_units), got ", free_units);
  }
  require("free_prefix", free_prefix, 0, all_units);
  if (accounts && !(narrow_units > 0 && free_units + narrow_units < all_units)) {
    fail(ErrorCode::InvalidOption,
         "accounts need both layers: 0 < narrow_units and free_units + narrow_units < 65536, got "
         "narrow_units ",
         narrow_units, " and free_units ", free_units,
         " (the purposes distillation and provenance leave one layer out)");
  }
}

Countermark1Parameters Countermark1Parameters::read(Parameters& reader) {
  Countermark1Parameters parameters;
  // validate() knows the ranges.
  const auto read_into = [&](const char* name, std::int64_t& value) {
    value = reader.integer(name, value, std::numeric_limits<std::int64_t>::min(),
                           std::numeric_limits<std::int64_t>::max());
  };
  read_into("narrow_width", parameters.narrow_width);
  read_into("wide_width", parameters.wide_width);
  read_into("narrow_units", parameters.narrow_units);
  read_into("free_units", parameters.free_units);
  read_into("free_prefix", parameters.free_prefix);
  parameters.accounts = reader.boolean("accounts", parameters.accounts);
  parameters.validate();
  return parameters;
}

Countermark1Parameters Countermark1Parameters::from_json(const base::Json& json) {
  base::Json copy = json;
  Parameters reader(copy);
  return read(reader);
}

void Countermark1Parameters::write(base::Json& json) const {
  json["narrow_width"] = narrow_width;
  json["wide_width"] = wide_width;
  json["narrow_units"] = narrow_units;
  json["free_units"] = free_units;
  json["free_prefix"] = free_prefix;
  json["accounts"] = accounts;
}

void complete_countermark_1(Parameters& parameters) { Countermark1Parameters::read(parameters); }

Countermark1::Countermark1(const keys::Secret& secret, const Countermark1Parameters& parameters)
    : parameters_((parameters.validate(), parameters)),
      narrow_(keys::derive(secret, "narrow")),
      wide_(keys::derive(secret, "wide")),
      accounts_(keys::derive(secret, "accounts")) {}

std::vector<keys::Seed> Countermark1::narrow_seeds(std::span<const keys::Block> contexts) const {
  std::vector<keys::Seed> seeds(contexts.size());
  keys::Aes cipher = narrow_;
  if (!cipher.encrypt(contexts, seeds)) {
    fail(ErrorCode::CryptoFailure, "OpenSSL refused to encrypt");
  }
  return seeds;
}

keys::Block context_of(std::span<const TokenId> tokens, std::int64_t width) noexcept {
  keys::Block block;
  block.fill(0xFFFFFFFF);
  const auto context = tokens.last(static_cast<std::size_t>(width));
  std::transform(context.begin(), context.end(), block.end() - width,
                 [](TokenId token) { return static_cast<std::uint32_t>(token); });
  return block;
}

Walk::Walk(const Countermark1& mark)
    : parameters_(mark.parameters_), narrow_(mark.narrow_), wide_(mark.wide_) {}

bool Walk::place(Place& place) noexcept {
  const auto seed_under = [&](keys::Aes& cipher, std::int64_t width) {
    return
        [&, width](keys::Seed& seed) { return cipher.encrypt(context_of(tokens_, width), seed); };
  };
  return find_place(
      parameters_, static_cast<std::int64_t>(tokens_.size()),
      seed_under(narrow_, parameters_.narrow_width), seed_under(wide_, parameters_.wide_width),
      [&](const keys::Seed& seed) { return !used_.contains(seed); }, place);
}

ErrorCode Walk::observe(TokenId token) {
  // Room first, so that a failed allocation changes nothing.
  if (places_.size() == places_.capacity()) places_.reserve(2 * places_.size() + 16);
  tokens_.reserve(places_.capacity());
  used_.reserve(used_.size() + 1);
  const Place placed = next_;
  if (placed.layer != Layer::Free) used_.insert(placed.seed);
  places_.push_back(placed);
  tokens_.push_back(token);
  if (!place(next_)) {
    tokens_.pop_back();
    places_.pop_back();
    if (placed.layer != Layer::Free) used_.erase(placed.seed);
    next_ = placed;
    return ErrorCode::CryptoFailure;
  }
  return ErrorCode::Ok;
}

void Walk::rollback(std::size_t count) noexcept {
  for (count = std::min(count, tokens_.size()); count > 0; --count) {
    // The place of the first token taken back is the place that comes next again: it followed from
    // the tokens before it alone.
    next_ = places_.back();
    if (next_.layer != Layer::Free) used_.erase(next_.seed);
    places_.pop_back();
    tokens_.pop_back();
  }
}

void Walk::reserve(std::size_t tokens) {
  tokens_.reserve(tokens);
  places_.reserve(tokens);
  used_.reserve(tokens);
}

}  // namespace countermark::marks
