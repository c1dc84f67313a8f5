#include "countermark/detector.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "base/fail.h"
#include "base/workers.h"
#include "detect/calibration_impl.h"
#include "detect/correction.h"
#include "detect/examination.h"
#include "detect/input.h"
#include "detect/keyed_mark.h"
#include "detect/rests.h"
#include "detect/sum.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "stats/evidence.h"
#include "stats/gamma_tail.h"

namespace countermark {
namespace {

/// A profile with its key, ready to test texts.
struct Candidate {
  Profile profile;
  detect::KeyedMark mark;
  std::optional<Calibration> calibration;

  const detect::CommonNgrams* common() const noexcept {
    return calibration ? &calibration->impl().common : nullptr;
  }
};

std::vector<std::string> all_ids(const KeyRing& ring) {
  std::vector<std::string> ids;
  for (const Profile& profile : ring.profiles()) ids.push_back(profile.id());
  return ids;
}

/// What a text is asked, and how many hypotheses the error rate is split over beside the profiles.
struct Asked {
  std::span<const double> probabilities = {};
  std::optional<double> entropy_bits = {};
  Start start = Start::Both;
  std::size_t variants = 1;
  std::optional<std::span<const TokenId>> prompt = {};
};

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

  void take(const Calibration& calibration);
  Detection detect(std::span<const TokenId> tokens, const Asked& asked) const;

 private:
  /// Whether a marked text would have shown, and if not, how much longer it had to be.
  void look_ahead(Detection& detection, const std::vector<detect::Examination>& examinations,
                  std::size_t tokens, const Asked& asked) const;
};

void Detector::Impl::take(const Calibration& calibration) {
  const auto found = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) {
    return c.profile.id() == calibration.profile();
  });
  if (found == candidates.end()) {
    fail(ErrorCode::InvalidCalibration, "a calibration is for profile \"", calibration.profile(),
         "\", which the detector does not test");
  }
  if (calibration.key_id() != found->profile.key_id() ||
      calibration.impl().parameters != found->profile.impl().json->at("parameters")) {
    fail(ErrorCode::InvalidCalibration, "the calibration for profile \"", calibration.profile(),
         "\" was built for another key or other parameters (key ", calibration.key_id(),
         "; the profile's is ", found->profile.key_id(), "): build it anew");
  }
  if (found->calibration) {
    fail(ErrorCode::InvalidCalibration, "there are two calibrations for profile \"",
         calibration.profile(), "\"");
  }
  found->calibration = calibration;
}

Detection Detector::Impl::detect(std::span<const TokenId> tokens, const Asked& asked) const {
  for (const Candidate& candidate : candidates) {
    detect::require_text(candidate.profile, tokens);
    if (asked.prompt && candidate.mark.ours() == nullptr) {
      detect::require_prompt(candidate.profile, *asked.prompt);
    }
  }
  // Regions hold together with everything else that is tried (Bonferroni).
  const double price = std::log10(static_cast<double>(candidates.size() * asked.variants));

  Detection detection;
  detection.log10_threshold = log10_threshold;
  detection.variants = asked.variants;
  detection.entropy_bits = asked.entropy_bits;
  std::vector<detect::Examination> examinations;
  for (const Candidate& candidate : candidates) {
    const double inflation =
        candidate.calibration ? candidate.calibration->log10_inflation(tokens.size()) : 0.0;
    detect::Examination examination =
        detect::examine(candidate.mark,
                        {.tokens = tokens,
                         .probabilities = asked.probabilities,
                         .start = asked.start,
                         .prompt = asked.prompt,
                         .log10_bar = log10_threshold - price - inflation},
                        candidate.common());
    const ProfileResult result{.profile = candidate.profile.id(),
                               .scored = examination.scored,
                               .score = examination.score,
                               .log10_p = std::min(0.0, examination.log10_p + inflation),
                               .log10_e = examination.log10_e,
                               .log10_inflation = inflation,
                               .start = examination.start,
                               .tests = examination.tests,
                               .engine = examination.engine};
    for (const detect::Window& w : examination.regions) {
      detection.regions.push_back({result.profile, w.begin, w.end, std::nullopt, w.scored, w.score,
                                   std::min(0.0, w.log10_p + price + inflation)});
    }
    detection.results.push_back(result);
    examinations.push_back(std::move(examination));
  }
  std::stable_sort(detection.regions.begin(), detection.regions.end(),
                   [](const Region& a, const Region& b) { return a.begin < b.begin; });

  detect::correct(detection);
  if (detection.verdict != Verdict::Marked) {
    look_ahead(detection, examinations, tokens.size(), asked);
  }
  detection.token_scores = detect::scores_from(std::move(examinations[detection.best].rests));
  return detection;
}

void Detector::Impl::look_ahead(Detection& detection,
                                const std::vector<detect::Examination>& examinations,
                                std::size_t tokens, const Asked& asked) const {
  // "Not by these keys" speaks of all of them, the one that says least included. With many profiles
  // each has to clear a lower bar, and so has each test.
  double more = 0.0;
  for (std::size_t i = 0; i < examinations.size(); ++i) {
    const detect::Examination& examination = examinations[i];
    const double bar =
        log10_threshold - std::log10(static_cast<double>(candidates.size() * asked.variants)) +
        std::log10(examination.tests.front().share) - detection.results[i].log10_inflation;
    // By how much the evidence expected falls short, and the tokens that it comes from.
    double times = HUGE_VAL;
    double of_tokens = static_cast<double>(tokens);
    if (examination.start == Start::Response) {
      of_tokens -= static_cast<double>(candidates[i].mark.free_prefix());
    }
    if (!asked.probabilities.empty()) {
      if (examination.expected_log10_e > 0.0) times = -bar / examination.expected_log10_e;
    } else if (examination.scored > 0) {
      times = stats::needed_scores(detect::typical_score, bar) /
              static_cast<double>(examination.scored);
    } else {
      // Nothing is scored yet: as many as it takes.
      of_tokens = 1.0;
      times = 1.0 + stats::needed_scores(detect::typical_score, bar);
    }
    more = std::max(more, (times - 1.0) * of_tokens);
  }
  if (more <= 0.0) {
    detection.verdict = Verdict::NotMarkedByTheseKeys;
    return;
  }
  detection.verdict = Verdict::Insufficient;
  detection.tokens_to_decide.reset();
  if (more < 1e9) detection.tokens_to_decide = static_cast<std::size_t>(std::ceil(more));
}

Detector::Detector(const KeyRing& ring, const DetectorOptions& options)
    : Detector(ring, all_ids(ring), options) {}

Detector::Detector(const KeyRing& ring, std::span<const std::string> profile_ids,
                   const DetectorOptions& options) {
  auto impl = std::make_shared<Impl>();
  impl->log10_threshold =
      detect::log10_threshold("false_positive_rate", options.false_positive_rate);
  for (const auto& [entry, profile] : ring.impl().find_all(profile_ids)) {
    impl->candidates.push_back(
        {*profile, detect::KeyedMark(entry->secret, *profile), std::nullopt});
  }
  for (const Calibration& calibration : options.calibrations) impl->take(calibration);
  impl_ = std::move(impl);
}

Detection Detector::detect(std::span<const TokenId> tokens, Start start,
                           std::optional<std::span<const TokenId>> prompt) const {
  return impl_->detect(tokens, {.start = start, .prompt = prompt});
}

Detection Detector::detect(std::span<const TokenId> tokens, const Proxy& proxy, Start start,
                           std::optional<std::span<const TokenId>> prompt) const {
  const std::vector<double> probabilities = detect::read(proxy, tokens.size());
  return impl_->detect(tokens, {.probabilities = probabilities,
                                .entropy_bits = proxy.entropy_bits,
                                .start = start,
                                .prompt = prompt});
}

Detection Detector::detect_variants(std::span<const std::span<const TokenId>> variants,
                                    Start start) const {
  if (variants.empty()) fail(ErrorCode::EmptyText, "there is no variant of the text to examine");
  Detection best;
  std::vector<double> log10_e;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    Detection detection = impl_->detect(variants[i], {.start = start, .variants = variants.size()});
    detection.variant = i;
    log10_e.push_back(detection.log10_e);
    if (i == 0 || detection.log10_p < best.log10_p) best = std::move(detection);
  }
  // The best of several e-values is none; their mean is one.
  best.log10_e = stats::log10_mean(log10_e);
  return best;
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

DecoyRank Detector::rank(std::span<const TokenId> tokens, std::string_view profile_id,
                         std::size_t decoys, Start start) const {
  constexpr std::size_t most = 100'000;
  const Candidate& candidate = impl_->find(profile_id);
  if (decoys < 1 || decoys > most) {
    fail(ErrorCode::InvalidOption, "decoys must be in 1..", most, ", got ", decoys);
  }
  detect::require_text(candidate.profile, tokens);
  const auto log10_p_of = [&](const detect::KeyedMark& mark) {
    return detect::examine(mark, {.tokens = tokens, .start = start}, candidate.common()).log10_p;
  };
  std::vector<double> log10_p;
  for (std::size_t i = 0; i < decoys; ++i) {
    log10_p.push_back(log10_p_of(candidate.mark.decoy(i)));
  }
  DecoyRank result = detect::rank_among(log10_p_of(candidate.mark), std::move(log10_p));
  result.profile = candidate.profile.id();
  return result;
}

AccountScore Detector::score_account(std::span<const TokenId> tokens, std::string_view profile_id,
                                     std::optional<std::uint64_t> account, Start start) const {
  const Candidate& candidate = impl_->find(profile_id);
  if (!candidate.profile.has_accounts()) {
    fail(ErrorCode::AccountMismatch, "profile \"", profile_id, "\" has no accounts");
  }
  detect::require_text(candidate.profile, tokens);
  const marks::Countermark1& mark = *candidate.mark.ours();  // no other mark has accounts
  const std::vector<double> rests =
      detect::rests_of(mark, tokens, detect::of_account(mark, account), candidate.common());
  const detect::SumEvidence evidence =
      detect::sum_scores(rests, candidate.mark.free_prefix(), start);
  return {evidence.scored, evidence.score, evidence.log10_p};
}

std::vector<Profile> Detector::profiles() const {
  std::vector<Profile> all;
  for (const Candidate& candidate : impl_->candidates) all.push_back(candidate.profile);
  return all;
}

void locate(Detection& detection, std::span<const std::pair<std::size_t, std::size_t>> characters) {
  detect::require_ranges(detection.token_scores.size(), characters.size());
  for (Region& region : detection.regions) {
    region.characters =
        detect::range_of(characters.subspan(region.begin, region.end - region.begin));
  }
}

}  // namespace countermark
