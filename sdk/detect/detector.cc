#include "countermark/detector.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <utility>

#include "base/fail.h"
#include "base/workers.h"
#include "detect/hypothesis.h"
#include "marks/countermark_1.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"

namespace countermark {
namespace {

/// A profile with its key, ready to test texts.
struct Candidate {
  Profile profile;
  marks::Countermark1 mark;
};

void require_text(const Profile& profile, std::span<const TokenId> tokens) {
  if (tokens.empty()) fail(ErrorCode::EmptyText, "the text is empty: there is no token to examine");
  if (const auto bad = profiles::first_out_of_range(profile, tokens); bad < tokens.size()) {
    fail(ErrorCode::TokenOutOfRange, "token ", bad, " of the text is ", tokens[bad],
         ", but profile \"", profile.id(), "\" has ids 0..", profiles::id_limit(profile) - 1,
         " (is the text tokenised with another tokenizer? name the profiles that are for it)");
  }
}

ProfileResult result_of(const Candidate& candidate, const detect::Evidence& evidence) {
  ProfileResult result;
  result.profile = candidate.profile.id();
  result.scored = evidence.scored;
  result.score = evidence.score;
  result.log10_p = evidence.log10_p;
  result.log10_e = evidence.log10_e;
  result.start = evidence.start;
  return result;
}

/// Whether a typical marked text with so many scored tokens would be as likely to show as not. Its
/// mean score depends on the entropy, which a detector with only the key does not know; 1.5 is that
/// of a model at a moderate temperature (docs/detection.md).
bool is_sufficient(std::size_t scored, double log10_threshold) {
  constexpr double typical_score = 1.5;
  const auto n = static_cast<double>(scored);
  return stats::log10_gamma_tail(n, typical_score * n) <= log10_threshold;
}

}  // namespace

struct Detector::Impl {
  std::vector<Candidate> candidates;
  double log10_threshold;

  const Candidate& find(std::string_view id) const {
    const auto found = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const Candidate& c) { return c.profile.id() == id; });
    if (found == candidates.end()) {
      fail(ErrorCode::UnknownProfile, "the detector does not test profile \"", id, "\"");
    }
    return *found;
  }
};

namespace {

std::vector<std::string> all_ids(const KeyRing& ring) {
  std::vector<std::string> ids;
  for (const Profile& profile : ring.profiles()) ids.push_back(profile.id());
  return ids;
}

}  // namespace

Detector::Detector(const KeyRing& ring, const DetectorOptions& options)
    : Detector(ring, all_ids(ring), options) {}

Detector::Detector(const KeyRing& ring, std::span<const std::string> profile_ids,
                   const DetectorOptions& options) {
  const double rate = options.false_positive_rate;
  if (!(rate > 0.0 && rate <= 0.5)) {
    fail(ErrorCode::InvalidOption, "false_positive_rate must be in (0, 0.5], got ", rate);
  }
  if (profile_ids.empty()) {
    fail(ErrorCode::UnknownProfile, "there is no profile to test: the key ring is empty");
  }
  auto impl = std::make_shared<Impl>();
  impl->log10_threshold = std::log10(rate);
  for (const std::string& id : profile_ids) {
    const auto [entry, profile] = ring.impl().find(id);
    for (const Candidate& other : impl->candidates) {
      if (other.profile.id() == id) {
        fail(ErrorCode::InvalidOption, "profile \"", id, "\" is named twice");
      }
    }
    impl->candidates.push_back(
        {*profile, marks::Countermark1(entry->secret, profiles::parameters_of(*profile))});
  }
  impl_ = std::move(impl);
}

Detection Detector::detect(std::span<const TokenId> tokens, Start start) const {
  const auto& candidates = impl_->candidates;
  for (const Candidate& candidate : candidates) require_text(candidate.profile, tokens);

  Detection detection;
  std::vector<double> log10_p, log10_e;
  detect::Evidence best_evidence;
  for (const Candidate& candidate : candidates) {
    detect::Evidence evidence =
        detect::test_ours(candidate.mark, candidate.profile.has_accounts(), tokens, start);
    detection.results.push_back(result_of(candidate, evidence));
    log10_p.push_back(evidence.log10_p);
    log10_e.push_back(evidence.log10_e);
    if (log10_p.size() == 1 || evidence.log10_p < best_evidence.log10_p) {
      detection.best = log10_p.size() - 1;
      best_evidence = std::move(evidence);
    }
  }
  detection.token_scores = std::move(best_evidence).token_scores();

  detection.log10_threshold = impl_->log10_threshold;
  const std::vector<double> adjusted = stats::log10_holm(log10_p);
  for (std::size_t i = 0; i < adjusted.size(); ++i) {
    detection.results[i].log10_p_adjusted = adjusted[i];
    detection.results[i].is_marked = adjusted[i] <= detection.log10_threshold;
  }
  const ProfileResult& best = detection.results[detection.best];
  detection.tested = candidates.size();
  detection.log10_p = best.log10_p_adjusted;
  detection.log10_e = stats::log10_mean(log10_e);
  detection.scored = best.scored;
  if (best.is_marked) {
    detection.verdict = Verdict::Marked;
    detection.profile = best.profile;
  } else {
    // With many profiles each has to clear a lower bar.
    const double bar =
        detection.log10_threshold - std::log10(static_cast<double>(candidates.size()));
    // "Not by these keys" speaks of all of them, the one that scored least included.
    std::size_t least = best.scored;
    for (const ProfileResult& result : detection.results) least = std::min(least, result.scored);
    detection.verdict =
        is_sufficient(least, bar) ? Verdict::NotMarkedByTheseKeys : Verdict::Insufficient;
  }
  return detection;
}

std::vector<Detection> Detector::detect_many(std::span<const std::span<const TokenId>> texts,
                                             Start start, unsigned threads) const {
  std::vector<Detection> detections(texts.size());
  std::mutex mutex;
  std::exception_ptr first_error;
  std::size_t first_text = std::numeric_limits<std::size_t>::max();
  base::Workers(threads).run(texts.size(), [&](std::size_t i) {
    try {
      detections[i] = detect(texts[i], start);
    } catch (...) {
      // Of several errors the one of the earliest text is told, whatever the threads' order.
      const std::lock_guard lock(mutex);
      if (i < first_text) {
        first_text = i;
        first_error = std::current_exception();
      }
    }
  });
  if (first_error) {
    try {
      std::rethrow_exception(first_error);
    } catch (const Error& error) {
      fail(error.code(), "text ", first_text, ": ", error.what());
    }
  }
  return detections;
}

AccountScore Detector::score_account(std::span<const TokenId> tokens, std::string_view profile_id,
                                     std::optional<std::uint64_t> account, Start start) const {
  const Candidate& candidate = impl_->find(profile_id);
  if (!candidate.profile.has_accounts()) {
    fail(ErrorCode::AccountMismatch, "profile \"", profile_id, "\" has no accounts");
  }
  require_text(candidate.profile, tokens);
  const detect::Evidence evidence = detect::test_account(candidate.mark, tokens, account, start);
  return {evidence.scored, evidence.score, evidence.log10_p};
}

std::vector<Profile> Detector::profiles() const {
  std::vector<Profile> all;
  for (const Candidate& candidate : impl_->candidates) all.push_back(candidate.profile);
  return all;
}

}  // namespace countermark
