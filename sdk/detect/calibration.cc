#include "countermark/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/workers.h"
#include "detect/calibration_impl.h"
#include "detect/examination.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"

namespace countermark {
namespace {

using base::Json;

constexpr std::string_view format = "countermark.calibration/1";
constexpr auto broken = ErrorCode::InvalidCalibration;
constexpr std::array<double, 3> nominal = {0.1, 0.01, 0.001};
constexpr std::size_t least_documents = 100;
/// Fewer pieces say nothing of a rate of one in a hundred.
constexpr std::size_t least_pieces = 200;
/// An excess that fewer pieces show is chance.
constexpr std::size_t least_in_excess = 8;

using Documents = std::vector<std::span<const TokenId>>;

Documents read(const Profile& profile, std::span<const std::span<const TokenId>> documents) {
  Documents some;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (const auto bad = profiles::first_out_of_range(profile, documents[i]);
        bad < documents[i].size()) {
      fail(ErrorCode::TokenOutOfRange, "token ", bad, " of document ", i, " is ", documents[i][bad],
           ", but profile \"", profile.id(), "\" has ids 0..", profiles::id_limit(profile) - 1,
           " (are the documents tokenised with another tokenizer?)");
    }
    if (!documents[i].empty()) some.push_back(documents[i]);
  }
  if (some.size() < least_documents) {
    fail(ErrorCode::EmptyText, "a calibration needs ", least_documents,
         " documents that are not empty, better thousands; got ", some.size());
  }
  return some;
}

void require(const CalibrationOptions& options) {
  if (options.lengths.empty() || options.lengths.front() < 1 ||
      !std::is_sorted(options.lengths.begin(), options.lengths.end()) ||
      std::adjacent_find(options.lengths.begin(), options.lengths.end()) != options.lengths.end()) {
    fail(ErrorCode::InvalidOption, "lengths must be numbers of tokens that increase");
  }
}

/// Documents of even and of odd number: what one half shares is tried on the other.
struct Halves {
  std::array<Documents, 2> documents;
  std::array<detect::CommonNgrams, 2> common;
};

Halves halve(const Documents& documents, std::span<const std::size_t> widths, std::size_t least) {
  Halves halves;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    halves.documents[i % 2].push_back(documents[i]);
  }
  for (std::size_t h = 0; h < 2; ++h) {
    // A half has half as many of them.
    halves.common[h] = detect::CommonNgrams(detect::CommonNgrams::find(
        halves.documents[h], widths, std::max<std::size_t>(2, least / 2)));
  }
  return halves;
}

/// log10 p of pieces of documents; `common` n-grams left out.
std::vector<double> measure(const detect::KeyedMark& mark, const Documents& pieces,
                            const detect::CommonNgrams* common, base::Workers& workers) {
  std::vector<double> log10_p(pieces.size());
  workers.run(pieces.size(), [&](std::size_t i) {
    log10_p[i] = detect::examine(mark, {.tokens = pieces[i]}, common).log10_p;
  });
  std::sort(log10_p.begin(), log10_p.end());
  return log10_p;
}

std::vector<double> shares_at_nominal(const std::vector<double>& sorted) {
  std::vector<double> shares;
  for (const double rate : nominal) {
    const auto end = std::upper_bound(sorted.begin(), sorted.end(), std::log10(rate));
    shares.push_back(static_cast<double>(end - sorted.begin()) /
                     static_cast<double>(sorted.size()));
  }
  return shares;
}

/// log10 of the largest measured over nominal rate, 0 or more.
double log10_excess(const std::vector<double>& sorted) {
  double excess = 0.0;
  for (std::size_t i = least_in_excess; i <= sorted.size(); ++i) {
    const double measured = static_cast<double>(i) / static_cast<double>(sorted.size());
    excess = std::max(excess, std::log10(measured) - sorted[i - 1]);
  }
  return excess;
}

MeasuredRates rates_at(const detect::KeyedMark& mark, const Halves& halves, std::size_t length,
                       base::Workers& workers) {
  MeasuredRates rates;
  rates.tokens = length;
  std::vector<double> plain, filtered;
  for (std::size_t h = 0; h < 2; ++h) {
    Documents pieces;
    for (const auto document : halves.documents[h]) {
      for (std::size_t begin = 0; begin + length <= document.size(); begin += length) {
        pieces.push_back(document.subspan(begin, length));
      }
    }
    for (const double p : measure(mark, pieces, nullptr, workers)) plain.push_back(p);
    for (const double p : measure(mark, pieces, &halves.common[1 - h], workers)) {
      filtered.push_back(p);
    }
  }
  std::sort(plain.begin(), plain.end());
  std::sort(filtered.begin(), filtered.end());
  rates.pieces = plain.size();
  if (rates.pieces < least_pieces) return rates;
  rates.plain = shares_at_nominal(plain);
  rates.filtered = shares_at_nominal(filtered);
  rates.log10_inflation = log10_excess(filtered);
  return rates;
}

// ---- JSON ----

std::string hex_of(const std::vector<std::uint64_t>& hashes) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(8 * hashes.size());
  for (const std::uint64_t hash : hashes) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::uint8_t>(hash >> shift));
    }
  }
  return base::to_hex(bytes);
}

std::vector<std::uint64_t> hashes_of(std::string_view hex) {
  std::vector<std::uint8_t> bytes(hex.size() / 2);
  if (hex.size() % 16 != 0 || !base::from_hex(hex, bytes)) {
    fail(broken, "the calibration's common_ngrams must be 16 hex digits each");
  }
  std::vector<std::uint64_t> hashes;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t hash = 0;
    for (std::size_t k = 0; k < 8; ++k) hash = hash << 8 | bytes[i + k];
    hashes.push_back(hash);
  }
  return hashes;
}

std::size_t require_count(const Json& json, const char* name) {
  const Json& field = base::require_field(json, name, broken, "the calibration");
  if (!field.is_number_unsigned()) {
    fail(broken, "the calibration: field \"", name, "\" must be a whole number, 0 or more");
  }
  return field.get<std::size_t>();
}

std::vector<double> require_shares(const Json& json, const char* name) {
  const Json& field = base::require_field(json, name, broken, "the calibration");
  std::vector<double> shares;
  if (field.is_array() && (field.empty() || field.size() == nominal.size())) {
    for (const Json& share : field) {
      if (!share.is_number()) break;
      shares.push_back(share.get<double>());
    }
    if (shares.size() == field.size()) return shares;
  }
  fail(broken, "the calibration: field \"", name, "\" must be none or ", nominal.size(),
       " numbers");
}

MeasuredRates read_rates(const Json& json) {
  MeasuredRates rates;
  rates.tokens = require_count(json, "tokens");
  rates.pieces = require_count(json, "pieces");
  rates.plain = require_shares(json, "plain");
  rates.filtered = require_shares(json, "filtered");
  const Json& inflation = base::require_field(json, "log10_inflation", broken, "the calibration");
  if (!inflation.is_number() || !(inflation.get<double>() >= 0.0)) {
    fail(broken, "the calibration: field \"log10_inflation\" must be a number, 0 or more");
  }
  rates.log10_inflation = inflation.get<double>();
  return rates;
}

}  // namespace

Calibration Calibration::build(const KeyRing& ring, std::string_view profile_id,
                               std::span<const std::span<const TokenId>> documents,
                               const CalibrationOptions& options) {
  require(options);
  const auto [entry, profile] = ring.impl().find(profile_id);
  const Documents some = read(*profile, documents);
  const detect::KeyedMark mark(entry->secret, *profile);

  auto impl = std::make_shared<Impl>();
  impl->profile = profile->id();
  impl->key_id = profile->key_id();
  impl->parameters = profile->impl().json->at("parameters");
  impl->documents = some.size();
  impl->common_in = options.common_in > 0 ? options.common_in
                                          : std::max<std::size_t>(4, (some.size() + 999) / 1000);
  const std::vector<std::size_t> widths = mark.widths();
  impl->hashes = detect::CommonNgrams::find(some, widths, impl->common_in);
  impl->common = detect::CommonNgrams(impl->hashes);

  const Halves halves = halve(some, widths, impl->common_in);
  base::Workers workers(options.threads);
  for (const std::size_t length : options.lengths) {
    impl->rates.push_back(rates_at(mark, halves, length, workers));
  }
  return Calibration(std::move(impl));
}

Calibration::Calibration(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

std::string Calibration::to_json() const {
  Json rates = Json::array();
  for (const MeasuredRates& r : impl_->rates) {
    rates.push_back({{"tokens", r.tokens},
                     {"pieces", r.pieces},
                     {"plain", r.plain},
                     {"filtered", r.filtered},
                     {"log10_inflation", r.log10_inflation}});
  }
  const Json json = {{"format", format},
                     {"profile", impl_->profile},
                     {"key_id", impl_->key_id},
                     {"parameters", impl_->parameters},
                     {"documents", impl_->documents},
                     {"common_in", impl_->common_in},
                     {"nominal", nominal},
                     {"rates", std::move(rates)},
                     {"common_ngrams", hex_of(impl_->hashes)}};
  return json.dump();
}

Calibration Calibration::from_json(std::string_view text) {
  const std::string what = "the calibration";
  const Json json = base::parse_json(text, broken, what);
  const std::string its_format = base::require_string(json, "format", broken, what);
  if (its_format != format) {
    fail(ErrorCode::UnsupportedFormat, "this version reads ", format, ", not ", its_format);
  }
  auto impl = std::make_shared<Impl>();
  impl->profile = base::require_string(json, "profile", broken, what);
  impl->key_id = base::require_string(json, "key_id", broken, what);
  impl->parameters = base::require_field(json, "parameters", broken, what);
  impl->documents = require_count(json, "documents");
  impl->common_in = require_count(json, "common_in");
  impl->hashes = hashes_of(base::require_string(json, "common_ngrams", broken, what));
  impl->common = detect::CommonNgrams(impl->hashes);
  const Json& rates = base::require_field(json, "rates", broken, what);
  if (!rates.is_array()) fail(broken, "the calibration: field \"rates\" must be an array");
  for (const Json& item : rates) {
    MeasuredRates one = read_rates(item);
    if (!impl->rates.empty() && one.tokens <= impl->rates.back().tokens) {
      fail(broken, "the calibration's rates must be by increasing tokens");
    }
    impl->rates.push_back(std::move(one));
  }
  return Calibration(std::move(impl));
}

Calibration Calibration::open(const std::filesystem::path& path) {
  return from_json(base::read_file(path, false));
}

void Calibration::save(const std::filesystem::path& path) const {
  base::replace_file(path, to_json() + "\n");
}

const std::string& Calibration::profile() const noexcept { return impl_->profile; }
const std::string& Calibration::key_id() const noexcept { return impl_->key_id; }
std::size_t Calibration::documents() const noexcept { return impl_->documents; }
std::size_t Calibration::common_in() const noexcept { return impl_->common_in; }
std::size_t Calibration::common_ngrams() const noexcept { return impl_->hashes.size(); }
const std::vector<MeasuredRates>& Calibration::rates() const noexcept { return impl_->rates; }

double Calibration::log10_inflation(std::size_t tokens) const noexcept {
  const MeasuredRates* below = nullptr;
  const MeasuredRates* above = nullptr;
  for (const MeasuredRates& rates : impl_->rates) {
    if (rates.filtered.empty()) continue;  // too few pieces to tell
    if (rates.tokens <= tokens) below = &rates;
    if (rates.tokens >= tokens && above == nullptr) above = &rates;
  }
  return std::max(below != nullptr ? below->log10_inflation : 0.0,
                  above != nullptr ? above->log10_inflation : 0.0);
}

}  // namespace countermark
