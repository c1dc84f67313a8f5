// Responses under many keys, and the tests of what they look like.
#pragma once

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "detect/keyed_mark.h"
#include "embed/sequence_impl.h"
#include "marks/countermark_1.h"
#include "profiles/profile_impl.h"
#include "support.h"

namespace countermark::test {

/// Every test below fails by chance with at most this probability; the seeds are fixed, so that it
/// did not happen, or always will. A test with m cases allows each a share of 1 / m.
constexpr double false_alarm_rate = 1e-6;

/// The p-value of Pearson's chi-square of `counts` against `probabilities` (which sum to 1). Cells
/// that expect fewer than 10 are taken together, so that the distribution is chi-square's.
inline double chi_square_p(std::span<const std::size_t> counts,
                           std::span<const double> probabilities) {
  const auto total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
  double statistic = 0.0, rare_expected = 0.0, rare_count = 0.0;
  std::size_t cells = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<double>(counts[i]);
    const double expected = total * probabilities[i];
    if (expected >= 10.0) {
      add(count, expected);
    } else {
      rare_expected += expected;
      rare_count += count;
    }
  }
  // What is still too rare for the approximation may not occur often either.
  if (rare_expected >= 10.0) {
    add(rare_count, rare_expected);
  } else if (rare_count > rare_expected + 40.0) {
    return 0.0;
  }
  const boost::math::chi_squared distribution(static_cast<double>(cells - 1));
  return boost::math::cdf(boost::math::complement(distribution, statistic));
}

/// The p-value of "these are uniform on (0, 1)", in 20 cells.
inline double uniformity_p(std::span<const double> values) {
  constexpr std::size_t cells = 20;
  std::vector<std::size_t> counts(cells);
  for (const double value : values) {
    ++counts[std::min(cells - 1, static_cast<std::size_t>(value * cells))];
  }
  return chi_square_p(counts, std::vector<double>(cells, 1.0 / cells));
}

/// A profile whose secret changes from response to response. Making a key ring for each would take
/// longer than everything else here.
class ManyKeys {
 public:
  explicit ManyKeys(const ProfileOptions& options)
      : profile_(ring_of(options).profile("p")), parameters_(profiles::parameters_of(profile_)) {}

  marks::Countermark1 mark(std::uint64_t n) const { return {secret(n), parameters_}; }
  detect::KeyedMark keyed(std::uint64_t n) const { return {secret(n), parameters_}; }

  /// A response under secret n, whose free draws have the seed n too.
  Sequence sequence(std::uint64_t n, std::optional<std::uint64_t> account = {}) const {
    auto sampler = std::make_shared<const Sampler::Impl>(Sampler::Impl{profile_, mark(n), nullptr});
    std::optional<keys::AccountKey> key;
    if (account) key = sampler->mark->account_key(*account);
    embed::Response response(*sampler->mark);
    return Sequence(
        std::make_unique<Sequence::Impl>(std::move(sampler), std::move(response), key, n));
  }

 private:
  Profile profile_;
  marks::Countermark1Parameters parameters_;
};

/// 0, 1, ..., n - 1
inline Tokens first_ids(std::size_t n) {
  Tokens ids(n);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

}  // namespace countermark::test
