#include "countermark/screening.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <numbers>
#include <utility>

#include "base/fail.h"
#include "detect/correction.h"
#include "detect/input.h"
#include "detect/rests.h"
#include "marks/seed_set.h"
#include "stats/evidence.h"
#include "trace/tile.h"
#include "trace/tracer_impl.h"

namespace countermark {
namespace {

/// The shares of the texts that an account may have: e-values are averaged over them.
constexpr std::array<double, 5> shares = {0x1p-1, 0x1p-4, 0x1p-7, 0x1p-10, 0x1p-13};

/// log10 of the least e-value of a text that counts; what is below counts as 0.
constexpr double least_log10_e = 1.0;
/// And that is told.
constexpr double told_log10_e = 3.0;

/// The sum of n scores whose e-value is 10^log10_e.
double score_at(std::size_t n, double log10_e) {
  if (n == 0) return HUGE_VAL;
  double low = 0.0, high = 1.0;
  while (stats::log10_exponential_e_value(n, high) < log10_e) high *= 2.0;
  while (high - low > 1e-6 * high) {
    const double middle = 0.5 * (low + high);
    (stats::log10_exponential_e_value(n, middle) < log10_e ? low : high) = middle;
  }
  return low;
}

/// An account whose e-value counts.
struct Hit {
  std::size_t row;
  double log10_e;
};

/// What a text asks of every account: the sums with the free prefix and without it.
struct Bars {
  const trace::WideLayer& layer;
  Start start;
  double whole, response;

  Bars(const trace::WideLayer& of, Start from)
      : layer(of),
        start(from),
        whole(from == Start::Response ? HUGE_VAL : score_at(of.size(), least_log10_e)),
        response(from == Start::Unknown ? HUGE_VAL
                                        : score_at(of.size() - of.in_prefix, least_log10_e)) {}

  double log10_e(double whole_sum, double response_sum) const {
    const double both[] = {
        stats::log10_exponential_e_value(layer.size(), whole_sum),
        stats::log10_exponential_e_value(layer.size() - layer.in_prefix, response_sum)};
    if (start == Start::Unknown) return both[0];
    if (start == Start::Response) return both[1];
    return stats::log10_mean(both);
  }
};

void find_hits(const Bars& bars, const trace::Tile& tile, std::vector<Hit>& hits) {
  const std::span<const std::uint64_t> hashes = bars.layer.hashes;
  trace::Products response;
  trace::multiply(tile, hashes.subspan(bars.layer.in_prefix), response);
  trace::Products whole = response;
  trace::multiply(tile, hashes.first(bars.layer.in_prefix), whole);
  constexpr double slack = 0.02;
  const double whole_bar = bars.whole / std::numbers::ln2 - slack;
  const double response_bar = bars.response / std::numbers::ln2 - slack;
  for (std::size_t i = 0; i < tile.size(); ++i) {
    if (whole.about_minus_log2(i) < whole_bar && response.about_minus_log2(i) < response_bar) {
      continue;
    }
    const double log10_e = bars.log10_e(whole.minus_log(i), response.minus_log(i));
    if (log10_e >= least_log10_e) hits.push_back({tile.begin() + i, log10_e});
  }
}

}  // namespace

struct Screening::Impl {
  Tracer tracer;
  ScreeningOptions options;
  std::size_t texts = 0, searched = 0;
  /// Hashes of the positions that earlier texts had.
  marks::SeedSet known;
  /// For each account and share, what its hits add to the logarithm of (1 - share)^searched.
  std::vector<std::array<double, shares.size()>> log_products;
  std::map<std::size_t, std::vector<TextEvidence>> told;

  /// The positions of a layer that no earlier text had.
  trace::WideLayer fresh(const trace::WideLayer& layer) const;
  std::vector<Hit> search(const trace::WideLayer& layer, Start start) const;
  /// Whether any of them is told.
  bool take(const std::vector<Hit>& hits, const trace::WideLayer& layer);
  double log10_e(std::size_t row) const;
};

trace::WideLayer Screening::Impl::fresh(const trace::WideLayer& layer) const {
  trace::WideLayer some;
  for (std::size_t t = 0; t < layer.size(); ++t) {
    if (known.contains({layer.hashes[t], 0})) continue;
    some.positions.push_back(layer.positions[t]);
    some.hashes.push_back(layer.hashes[t]);
    some.in_prefix += t < layer.in_prefix;
  }
  return some;
}

std::vector<Hit> Screening::Impl::search(const trace::WideLayer& layer, Start start) const {
  const Tracer::Impl& impl = tracer.impl();
  const Bars bars(layer, start);
  std::vector<Hit> hits;
  std::mutex mutex;
  trace::for_ranges(impl.keys, impl.workers, impl.options.progress,
                    [&](std::size_t begin, std::size_t end) {
                      std::vector<Hit> some;
                      for (; begin < end; begin += trace::Tile::capacity) {
                        const std::size_t last = std::min(end, begin + trace::Tile::capacity);
                        find_hits(bars, trace::Tile(impl.keys, begin, last), some);
                      }
                      const std::lock_guard lock(mutex);
                      hits.insert(hits.end(), some.begin(), some.end());
                    });
  return hits;
}

bool Screening::Impl::take(const std::vector<Hit>& hits, const trace::WideLayer& layer) {
  bool is_told = false;
  known.reserve(known.size() + layer.size());
  for (const std::uint64_t hash : layer.hashes) known.insert({hash, 0});
  for (const Hit& hit : hits) {
    const double log_e = hit.log10_e * std::numbers::ln10;
    for (std::size_t k = 0; k < shares.size(); ++k) {
      // ln((1 - r + r e) / (1 - r)), without a power that overflows.
      const double log_odds = std::log(shares[k]) - std::log1p(-shares[k]) + log_e;
      log_products[hit.row][k] += log_odds > 0.0 ? log_odds + std::log1p(std::exp(-log_odds))
                                                 : std::log1p(std::exp(log_odds));
    }
    if (hit.log10_e >= told_log10_e) {
      is_told = true;
      told[hit.row].push_back({texts, layer.size(), hit.log10_e});
    }
  }
  return is_told;
}

double Screening::Impl::log10_e(std::size_t row) const {
  std::array<double, shares.size()> terms = {};
  for (std::size_t k = 0; k < shares.size(); ++k) {
    terms[k] = (log_products[row][k] + static_cast<double>(searched) * std::log1p(-shares[k])) /
               std::numbers::ln10;
  }
  return stats::log10_mean(terms);
}

Screening::Screening(const Tracer& tracer, const ScreeningOptions& options)
    : impl_(std::make_unique<Impl>(Impl{tracer, options, 0, 0, {}, {}, {}})) {
  detect::log10_threshold("false_discovery_rate", options.false_discovery_rate);
  if (!(options.ours_rate > 0.0 && options.ours_rate <= 1.0)) {
    fail(ErrorCode::InvalidOption, "ours_rate must be in (0, 1], got ", options.ours_rate);
  }
  impl_->log_products.resize(tracer.accounts().size());
}

Screening::Screening(Screening&&) noexcept = default;
Screening& Screening::operator=(Screening&&) noexcept = default;
Screening::~Screening() = default;

ScreenedText Screening::add(std::span<const TokenId> tokens, Start start) {
  const Tracer::Impl& tracer = impl_->tracer.impl();
  detect::require_text(tracer.profile, tokens);
  ScreenedText screened;
  screened.text = impl_->texts;
  const marks::Countermark1& mark = tracer.mark;
  screened.ours = tracer.ours(detect::rests_of(mark, tokens, detect::ours(mark)), start);
  screened.is_searched = screened.ours.log10_p <= std::log10(impl_->options.ours_rate);
  if (screened.is_searched) {
    const trace::WideLayer layer = impl_->fresh(trace::wide_layer_of(mark, tokens));
    screened.scored = layer.size();
    // A copy says nothing.
    screened.is_searched = layer.size() > 0;
    if (screened.is_searched) {
      screened.is_evidence = impl_->take(impl_->search(layer, start), layer);
      ++impl_->searched;
    }
  }
  ++impl_->texts;
  return screened;
}

ScreeningResult Screening::result() const {
  const std::span<const std::uint64_t> accounts = impl_->tracer.accounts();
  ScreeningResult result;
  result.texts = impl_->texts;
  result.searched = impl_->searched;
  result.tested = accounts.size();
  std::vector<std::pair<double, std::size_t>> found;
  for (std::size_t row = 0; row < accounts.size(); ++row) {
    const double log10_e = impl_->log10_e(row);
    if (log10_e > 0.0) found.emplace_back(-log10_e, row);
  }
  std::sort(found.begin(), found.end());
  std::vector<double> log10_e;
  log10_e.reserve(found.size());
  for (const auto& [negated, row] : found) log10_e.push_back(-negated);
  result.discovered =
      stats::e_bh_discoveries(log10_e, result.tested, impl_->options.false_discovery_rate);
  if (result.discovered > 0) result.log10_e_least = log10_e[result.discovered - 1];
  for (std::size_t i = 0; i < found.size(); ++i) {
    AccountEvidence evidence{accounts[found[i].second], -found[i].first, i < result.discovered, {}};
    const auto told = impl_->told.find(found[i].second);
    if (told != impl_->told.end()) evidence.texts = told->second;
    std::stable_sort(
        evidence.texts.begin(), evidence.texts.end(),
        [](const TextEvidence& a, const TextEvidence& b) { return a.log10_e > b.log10_e; });
    result.accounts.push_back(std::move(evidence));
  }
  return result;
}

}  // namespace countermark
