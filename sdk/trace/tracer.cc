#include "countermark/tracer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "detect/correction.h"
#include "detect/examination.h"
#include "detect/input.h"
#include "detect/rests.h"
#include "detect/scan.h"
#include "detect/sum.h"
#include "kernels/kernels.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "stats/gamma_tail.h"
#include "trace/search.h"
#include "trace/tracer_impl.h"
#include "trace/weighing.h"

namespace countermark {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// Accounts that get a second look, at least: more than are told, since the search ranks them to
/// 0.01 of a bit.
constexpr std::size_t least_shortlist = 64;
constexpr std::size_t least_likely_shortlist = 12;

void check(const TracerOptions& options) {
  if (!(options.least_gap >= 1.0 && options.least_gap <= 1e300)) {
    fail(ErrorCode::InvalidOption, "least_gap must be 1 or more and finite, got ",
         options.least_gap);
  }
  if (options.candidates < 1 || options.candidates > 1000) {
    fail(ErrorCode::InvalidOption, "candidates must be in 1..1000, got ", options.candidates);
  }
}

/// Some, each once: an account that occurs twice would be its own rival, and two discoveries.
void require_accounts(std::span<const std::uint64_t> accounts) {
  if (accounts.empty()) {
    fail(ErrorCode::InvalidOption, "accounts is empty: there is no account to search");
  }
  if (std::adjacent_find(accounts.begin(), accounts.end(), std::greater_equal()) ==
      accounts.end()) {
    return;  // in ascending order
  }
  std::vector<std::uint64_t> sorted(accounts.begin(), accounts.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return;
  const auto first = std::find(accounts.begin(), accounts.end(), *twice);
  const auto second = std::find(first + 1, accounts.end(), *twice);
  fail(ErrorCode::InvalidAccounts, "account ", *twice, " occurs twice, in rows ",
       first - accounts.begin(), " and ", second - accounts.begin());
}

/// The lengths that detect::scan() tries, in whole blocks. A window is of interest where its
/// p-value, paid for as scan() pays, is at most ten times the bar: the windows here and there do
/// not begin at the same tokens.
std::vector<trace::WindowLength> window_lengths(std::size_t positions, double log10_bar) {
  constexpr std::size_t block = kernels::most_factors;
  const std::size_t blocks = positions / block;
  std::vector<trace::WindowLength> lengths;
  for (std::size_t length = 2; 2 * length <= blocks; length *= 2) {
    lengths.push_back({length, std::max<std::size_t>(1, length / 8), 0.0});
  }
  for (trace::WindowLength& length : lengths) {
    const auto tried =
        static_cast<double>(lengths.size() * blocks) * 8.0 / static_cast<double>(length.blocks);
    const double log10_p = log10_bar - std::log10(tried) + 1.0;
    length.bar =
        stats::inverse_log10_gamma_tail(static_cast<double>(length.blocks * block), log10_p);
  }
  return lengths;
}

void rank(std::vector<AccountCandidate>& candidates) {
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const AccountCandidate& a, const AccountCandidate& b) { return a.log10_p < b.log10_p; });
}

bool has(std::span<const AccountCandidate> candidates, std::uint64_t account) {
  return std::any_of(candidates.begin(), candidates.end(),
                     [&](const AccountCandidate& c) { return c.account == account; });
}

/// log10 of the p-value of some positions under one key, the sum alone.
double log10_p_of(const trace::WideLayer& layer, const keys::AccountKey& key) {
  return detect::sum_scores(layer.rests(key), 0, Start::Unknown).log10_p;
}

}  // namespace

namespace trace {

marks::Countermark1 mark_with_accounts(const KeyRing& ring, std::string_view profile_id) {
  const auto [entry, profile] = ring.impl().find(profile_id);
  if (!profile->has_accounts()) {
    fail(ErrorCode::AccountMismatch, "profile \"", profile_id,
         "\" has no accounts, so that its texts cannot be traced: create it with accounts = true");
  }
  return {entry->secret, profiles::parameters_of(*profile)};
}

}  // namespace trace

/// One trace while it is made.
struct Tracer::Impl::Work {
  std::span<const TokenId> tokens;
  Start start;
  Trace trace = {};
  trace::WideLayer wide = {};
  std::optional<trace::Weighing> weighing = {};
  bool scans = false;
  /// Of the tests over the whole text.
  double share = 1.0;
  /// log10 of what a p-value of one account pays for the search.
  double price = 0.0;
  std::vector<std::size_t> windowed = {};
  /// Accounts by rising p-value, and "no account".
  std::vector<AccountCandidate> ranked = {};
  AccountCandidate nobody = {};

  double corrected(double log10_p) const {
    return std::min(0.0, log10_p - std::log10(share) + price);
  }
};

Tracer::Impl::Impl(const KeyRing& ring, std::string_view profile_id,
                   std::span<const std::uint64_t> ids, const TracerOptions& how)
    : profile(ring.profile(profile_id)),
      mark(trace::mark_with_accounts(ring, profile_id)),
      accounts((require_accounts(ids), ids.begin()), ids.end()),
      options((check(how), how)),
      log10_threshold(detect::log10_threshold("false_accusation_rate", how.false_accusation_rate)),
      workers(how.threads),
      keys(how.index.empty()
               ? trace::AccountKeys::derive(mark, accounts, workers, how.progress)
               : trace::AccountKeys::open(how.index, profile.key_id(), mark, accounts,
                                          base::is_private_only(how.allow_readable_by_others))) {}

keys::AccountKey Tracer::Impl::key_of(std::size_t row) const {
  const keys::AccountKey key = mark.account_key(accounts[row]);
  if (!(key == keys[row])) {
    fail(ErrorCode::InvalidAccounts, "account index ", options.index.string(), ": row ", row,
         " is not the key of account ", accounts[row], ": make the index anew");
  }
  return key;
}

OursEvidence Tracer::Impl::ours(std::span<const double> rests, Start start) const {
  const auto prefix = static_cast<std::size_t>(mark.parameters().free_prefix);
  const detect::SumEvidence sum = detect::sum_scores(rests, prefix, start);
  return {sum.scored, sum.score, sum.log10_p, sum.log10_e};
}

void Tracer::Impl::find_best(Work& work) const {
  const std::size_t positions = work.wide.size() - work.wide.in_prefix;
  work.scans = work.start == Start::Both && detect::is_long_enough(positions);
  work.share = work.scans ? 1.0 - detect::side_share : 1.0;
  const double bar = log10_threshold - work.price + std::log10(detect::side_share);
  std::vector<trace::WindowLength> windows;
  if (work.scans) windows = window_lengths(positions, bar);
  const auto weights = work.weighing->weights();
  // The likelihood ranks exactly, and takes longer to look twice.
  const std::size_t least =
      work.weighing->has_likelihood() ? least_likely_shortlist : least_shortlist;
  for (std::size_t best = std::max(least, options.candidates + 2);; best *= 2) {
    trace::Shortlist shortlist =
        trace::search({.layer = work.wide, .weights = weights, .windows = windows, .best = best},
                      keys, workers, options.progress);
    work.windowed = std::move(shortlist.windowed);
    work.ranked.clear();
    for (const std::size_t row : shortlist.best) {
      work.ranked.push_back(work.weighing->weigh(accounts[row], key_of(row)));
    }
    rank(work.ranked);
    // The list must end with somebody who cannot be accused, for the gap.
    const bool all_reach = work.corrected(work.ranked.back().log10_p) <= log10_threshold;
    if (!all_reach || work.ranked.size() == accounts.size()) break;
  }
  work.nobody = work.weighing->weigh(std::nullopt, std::nullopt);
  for (AccountCandidate& candidate : work.ranked) {
    candidate.log10_p_adjusted = work.corrected(candidate.log10_p);
  }
  work.nobody.log10_p_adjusted = work.corrected(work.nobody.log10_p);

  Trace& trace = work.trace;
  const bool likely = work.weighing->has_likelihood();
  trace.tests.push_back(
      {likely ? Statistic::Likelihood : Statistic::Sum, work.share, work.ranked.front().log10_p});
  trace.log10_p = work.ranked.front().log10_p_adjusted;
  trace.log10_e = -HUGE_VAL;
  for (const AccountCandidate& candidate : work.ranked) {
    trace.log10_e = std::max(trace.log10_e, candidate.log10_e - work.price);
  }
}

void Tracer::Impl::find_regions(Work& work) const {
  if (!work.scans) return;
  const double price = work.price - std::log10(detect::side_share);
  const auto context = static_cast<std::size_t>(mark.parameters().wide_width);
  double best = unknown;
  for (const std::size_t row : work.windowed) {
    const keys::AccountKey key = key_of(row);
    std::vector<double> rests(work.tokens.size(), unknown);
    const std::vector<double> scored = work.wide.rests(key);
    for (std::size_t t = 0; t < scored.size(); ++t) rests[work.wide.positions[t]] = scored[t];
    detect::Scan scan = detect::scan(rests, log10_threshold - price);
    best = std::isnan(best) ? scan.log10_p : std::min(best, scan.log10_p);
    detect::include_contexts(rests, context, scan.regions);
    for (const detect::Window& window : scan.regions) {
      const trace::WideLayer part = work.wide.part(window.begin, window.end);
      const trace::Shortlist others =
          trace::search({.layer = part, .best = least_shortlist}, keys, workers, options.progress);
      double runner_up = 0.0;
      for (const std::size_t other : others.best) {
        if (other == row) continue;
        runner_up = std::min(runner_up, log10_p_of(part, key_of(other)));
      }
      const double gap = runner_up - log10_p_of(part, key);
      if (gap < std::log10(options.least_gap)) continue;
      if (!has(work.ranked, accounts[row])) {
        work.ranked.push_back(work.weighing->weigh(accounts[row], key));
        work.ranked.back().log10_p_adjusted = work.corrected(work.ranked.back().log10_p);
        rank(work.ranked);
      }
      work.trace.regions.push_back({accounts[row], window.begin, window.end, std::nullopt,
                                    window.scored, window.score,
                                    std::min(0.0, window.log10_p + price), gap});
    }
  }
  work.trace.tests.push_back({Statistic::Scan, detect::side_share, best});
  std::stable_sort(work.trace.regions.begin(), work.trace.regions.end(),
                   [](const TracedRegion& a, const TracedRegion& b) { return a.begin < b.begin; });
}

void Tracer::Impl::accuse(Work& work) const {
  Trace& trace = work.trace;
  const auto reaches = [&](const AccountCandidate& c) {
    return c.log10_p_adjusted <= log10_threshold;
  };
  const auto gap_after = [&](std::size_t count) {
    const std::size_t last = count > 0 ? count - 1 : 0;
    // With no other account, nothing stands beside the best.
    const double next = last + 1 < work.ranked.size() ? work.ranked[last + 1].log10_p : 0.0;
    return next - work.ranked[last].log10_p;
  };
  // The accused stand apart from the rest; how many they are is not known beforehand.
  auto count = static_cast<std::size_t>(
      std::find_if_not(work.ranked.begin(), work.ranked.end(), reaches) - work.ranked.begin());
  while (count > 0 && gap_after(count) < std::log10(options.least_gap)) --count;
  trace.log10_gap = gap_after(count);
  if (count == 0 && !trace.regions.empty()) {
    trace.log10_gap = HUGE_VAL;
    for (const TracedRegion& region : trace.regions) {
      trace.log10_gap = std::min(trace.log10_gap, region.log10_gap);
    }
  }

  std::vector<std::pair<double, std::uint64_t>> accused;
  for (std::size_t i = 0; i < count; ++i) {
    accused.emplace_back(work.ranked[i].log10_p_adjusted, *work.ranked[i].account);
  }
  for (const TracedRegion& region : trace.regions) {
    accused.emplace_back(region.log10_p, region.account);
  }
  std::sort(accused.begin(), accused.end());
  for (const auto& [log10_p, account] : accused) {
    trace.log10_p = std::min(trace.log10_p, log10_p);
    if (std::find(trace.accused.begin(), trace.accused.end(), account) == trace.accused.end()) {
      trace.accused.push_back(account);
    }
  }
  for (AccountCandidate& candidate : work.ranked) {
    candidate.is_accused = std::find(trace.accused.begin(), trace.accused.end(),
                                     *candidate.account) != trace.accused.end();
  }
  if (!trace.accused.empty()) {
    trace.verdict = TraceVerdict::Account;
    trace.account = trace.accused.front();
  }

  // The best are told, and whoever else is accused; "no account" takes its place among them, or the
  // last one.
  std::vector<AccountCandidate>& told = trace.candidates;
  for (const AccountCandidate& candidate : work.ranked) {
    if (told.size() < options.candidates || candidate.is_accused) told.push_back(candidate);
  }
  const auto after = std::find_if(told.begin(), told.end(), [&](const AccountCandidate& c) {
    return c.log10_p > work.nobody.log10_p;
  });
  told.insert(after, work.nobody);
}

void Tracer::Impl::look_ahead(Work& work) const {
  Trace& trace = work.trace;
  if (trace.verdict == TraceVerdict::Account) return;
  if (trace.log10_p <= log10_threshold) {
    // Somebody is too high for chance, and nobody stands out: that is no acquittal.
    trace.tokens_to_decide.reset();
    return;
  }
  if (work.nobody.log10_p_adjusted <= log10_threshold) {
    trace.verdict = TraceVerdict::NoAccount;
    return;
  }
  // Where the narrow layer shows that the text is ours, it also shows what a marked token scores.
  double mean = detect::typical_score;
  if (trace.ours.scored > 0 && trace.ours.log10_p <= log10_threshold) {
    mean = trace.ours.score / static_cast<double>(trace.ours.scored);
  }
  const double bar = log10_threshold - work.price + std::log10(work.share);
  // Of one whole response, unless its start is unknown: the free prefix carries no mark.
  const auto& parameters = mark.parameters();
  const bool has_prefix = work.start != Start::Unknown;
  const auto prefix = static_cast<double>(has_prefix ? parameters.free_prefix : 0);
  const auto tokens = std::max(0.0, static_cast<double>(work.tokens.size()) - prefix);
  double more = HUGE_VAL;
  if (work.weighing->has_likelihood()) {
    const double expected = work.weighing->expected_log10_e();
    if (expected > 0.0) more = (-bar / expected - 1.0) * tokens;
  } else if (mean > 1.0) {
    const double needed = stats::needed_scores(mean, bar);
    const auto scored =
        static_cast<double>(work.wide.size() - (has_prefix ? work.wide.in_prefix : 0));
    // Nothing is scored yet: by the wide layer's share.
    const double share =
        1.0 - static_cast<double>(parameters.narrow_units + parameters.free_units) / 65536.0;
    more = scored > 0.0 ? (needed / scored - 1.0) * tokens : needed / share;
  }
  if (more <= 0.0) {
    trace.verdict = TraceVerdict::NoAccount;
    return;
  }
  trace.verdict = TraceVerdict::Insufficient;
  trace.tokens_to_decide.reset();
  if (more < 1e9) trace.tokens_to_decide = static_cast<std::size_t>(std::ceil(more));
}

Trace Tracer::Impl::trace(std::span<const TokenId> tokens, const Proxy* proxy, Start start) const {
  detect::require_text(profile, tokens);
  Work work{.tokens = tokens, .start = start};
  Trace& trace = work.trace;
  trace.log10_threshold = log10_threshold;
  trace.tested = accounts.size() + 1;
  work.price = std::log10(static_cast<double>(trace.tested));
  work.wide = trace::wide_layer_of(mark, tokens);
  trace.scored = work.wide.size();
  std::vector<double> probabilities;
  if (proxy != nullptr) {
    const std::vector<double> all = detect::read(*proxy, tokens.size());
    for (const std::size_t i : work.wide.positions) probabilities.push_back(all[i]);
  }
  work.weighing.emplace(work.wide, probabilities, start);
  std::vector<double> rests = detect::rests_of(mark, tokens, detect::ours(mark));
  trace.ours = ours(rests, start);

  find_best(work);
  find_regions(work);
  accuse(work);
  look_ahead(work);

  std::optional<keys::AccountKey> key;
  const auto& shown = trace.account ? trace.account : trace.candidates.front().account;
  if (shown) key = mark.account_key(*shown);
  const std::vector<double> best = work.wide.rests(key);
  trace.token_scores.assign(tokens.size(), unknown);
  for (std::size_t t = 0; t < work.wide.size(); ++t) {
    trace.token_scores[work.wide.positions[t]] = -std::log(best[t]);
    rests[work.wide.positions[t]] = best[t];
  }
  trace.log10_p_combined = std::min(0.0, ours(rests, start).log10_p + work.price);
  return std::move(work.trace);
}

Tracer::Tracer(const KeyRing& ring, std::string_view profile_id,
               std::span<const std::uint64_t> accounts, const TracerOptions& options)
    : impl_(std::make_shared<const Impl>(ring, profile_id, accounts, options)) {}

Trace Tracer::trace(std::span<const TokenId> tokens, Start start) const {
  return impl_->trace(tokens, nullptr, start);
}

Trace Tracer::trace(std::span<const TokenId> tokens, const Proxy& proxy, Start start) const {
  return impl_->trace(tokens, &proxy, start);
}

std::vector<double> Tracer::scores(std::span<const TokenId> tokens) const {
  detect::require_text(impl_->profile, tokens);
  return trace::all_sums(trace::wide_layer_of(impl_->mark, tokens), impl_->keys, impl_->workers,
                         impl_->options.progress);
}

std::size_t Tracer::scored(std::span<const TokenId> tokens) const {
  detect::require_text(impl_->profile, tokens);
  return trace::wide_layer_of(impl_->mark, tokens).size();
}

const Profile& Tracer::profile() const noexcept { return impl_->profile; }

std::span<const std::uint64_t> Tracer::accounts() const noexcept { return impl_->accounts; }

void locate(Trace& trace, std::span<const std::pair<std::size_t, std::size_t>> characters) {
  detect::require_ranges(trace.token_scores.size(), characters.size());
  for (TracedRegion& region : trace.regions) {
    region.characters =
        detect::range_of(characters.subspan(region.begin, region.end - region.begin));
  }
}

std::size_t build_account_index(const KeyRing& ring, std::string_view profile_id,
                                std::span<const std::uint64_t> accounts,
                                const std::filesystem::path& path,
                                const AccountIndexOptions& options) {
  require_accounts(accounts);
  const marks::Countermark1 mark = trace::mark_with_accounts(ring, profile_id);
  base::Workers workers(options.threads);
  return trace::write_index(path, ring.profile(profile_id).key_id(), mark, accounts,
                            base::is_private_only(options.allow_readable_by_others), workers,
                            options.progress);
}

}  // namespace countermark
