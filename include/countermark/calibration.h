// What one key does on a provider's own unmarked text.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "countermark/export.h"
#include "countermark/key_ring.h"
#include "countermark/token.h"

namespace countermark {

struct CalibrationOptions {
  /// An n-gram (a context and the token after it) that so many documents share is common, and not
  /// scored; 0: one in a thousand documents, but at least four.
  std::size_t common_in = 0;
  /// Lengths in tokens at which the key's error rates are measured; increasing.
  std::vector<std::size_t> lengths = {50, 100, 200, 400, 800, 1600};
  /// Threads that measure; 0: as many as the machine has.
  unsigned threads = 0;
};

/// The error rates of one key at one length.
struct MeasuredRates {
  std::size_t tokens = 0;
  /// Pieces of so many tokens, from all documents.
  std::size_t pieces = 0;
  /// The share of the pieces with a p-value of at most 10^-1, 10^-2 and 10^-3: as it is, and
  /// without the common n-grams that the other half of the documents shows.
  std::vector<double> plain, filtered;
  /// log10 of the factor that p-values of this length are enlarged by, 0 or more: the largest
  /// excess of the measured rate over the nominal one, at any rate that at least eight pieces show.
  double log10_inflation = 0.0;
};

/// With a fixed key, n-grams that many documents share make documents err together: error rates are
/// right on average over keys, and wrong for the one key deployed, most of all on templates. A
/// calibration holds the common n-grams of the provider's own text and the measured error rates of
/// this very key. No text and no secret is in it, but who holds it learns which n-grams are
/// common. Immutable; copies share their state.
class COUNTERMARK_API Calibration {
 public:
  /// Builds one from documents of unmarked text, the more and the more like the texts
  /// to come the better: a template that is not among them is not known. O(tokens log tokens).
  ///
  /// Throws Error(UnknownProfile), Error(TokenOutOfRange) naming document and position,
  /// Error(InvalidOption), or Error(EmptyText) where fewer than 100 documents have tokens.
  static Calibration build(const KeyRing& ring, std::string_view profile_id,
                           std::span<const std::span<const TokenId>> documents,
                           const CalibrationOptions& options = {});

  /// Reads `countermark.calibration/1`. Throws Error(InvalidCalibration), Error(UnsupportedFormat)
  /// or Error(FileFailure).
  static Calibration from_json(std::string_view json);
  static Calibration open(const std::filesystem::path& path);

  std::string to_json() const;
  /// Writes the file, all of it or nothing. Throws Error(FileFailure).
  void save(const std::filesystem::path& path) const;

  const std::string& profile() const noexcept;
  const std::string& key_id() const noexcept;
  std::size_t documents() const noexcept;
  /// Documents that an n-gram has to be in to be common, and how many are.
  std::size_t common_in() const noexcept;
  std::size_t common_ngrams() const noexcept;
  const std::vector<MeasuredRates>& rates() const noexcept;

  /// The factor for a text of so many tokens: the larger one of the lengths about it. In log10.
  double log10_inflation(std::size_t tokens) const noexcept;

  struct Impl;
  explicit Calibration(std::shared_ptr<const Impl> impl) noexcept;  // for the library itself
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace countermark
