#include "countermark/tracer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "countermark/plan.h"
#include "detect/scan.h"
#include "stats/gamma_tail.h"
#include "support.h"
#include "trace/search.h"
#include "trace/tracer_impl.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
constexpr std::uint64_t guilty = 1042;

/// 1000, 1001, ...
std::vector<std::uint64_t> accounts(std::size_t count) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), std::uint64_t{1000});
  return ids;
}

KeyRing ring(std::int64_t free_prefix = 24) {
  ProfileOptions options = test::account_options(vocab_size);
  options.free_prefix = free_prefix;
  return test::ring_of(options);
}

test::Tokens text_for(const KeyRing& from, std::optional<std::uint64_t> account, std::size_t size,
                      std::uint64_t seed = 1) {
  return test::marked_tokens(Sampler(from, "p"), size, vocab_size,
                             {.account = account, .seed = seed});
}

/// The token that is likely at a position, and a row of little entropy that says so.
std::size_t likely_at(std::size_t i) { return (i * 2654435761U >> 9) % vocab_size; }

test::Row row_of_little_entropy(std::size_t i) {
  test::Row row(vocab_size, 0.0F);
  row[likely_at(i)] = 6.0F;
  return row;
}

const AccountCandidate& nobody(const Trace& trace) {
  return *std::find_if(trace.candidates.begin(), trace.candidates.end(),
                       [](const AccountCandidate& c) { return !c.account; });
}

}  // namespace

TEST_CASE("Tracer: finds the account of a text among all, and says how sure it is") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(5000));
  const test::Tokens text = text_for(keys, guilty, 200);
  for (const Start start : {Start::Both, Start::Response, Start::Unknown}) {
    const Trace trace = tracer.trace(text, start);
    CHECK(trace.verdict == TraceVerdict::Account);
    CHECK(trace.account == guilty);
    CHECK(trace.accused == std::vector<std::uint64_t>{guilty});
    CHECK(trace.tested == 5001);
    CHECK(trace.candidates.size() == 11);
    CHECK(trace.candidates.front().account == guilty);
    CHECK(trace.candidates.front().is_accused);
    CHECK_FALSE(trace.candidates[1].is_accused);
    CHECK(trace.tokens_to_decide == 0);
    CHECK(trace.log10_e < trace.candidates.front().log10_e);
    CHECK(trace.log10_e > 3.0);
    // Corrected for the accounts, "no account", and the share of the test.
    const double share = trace.tests.front().share;
    const AccountScore alone = Detector(keys).score_account(text, "p", guilty, start);
    CHECK(trace.candidates.front().log10_p == doctest::Approx(alone.log10_p));
    CHECK(trace.tests.front().log10_p == doctest::Approx(alone.log10_p));
    CHECK(trace.log10_p == doctest::Approx(alone.log10_p + std::log10(5001.0 / share)));
    CHECK(trace.candidates.front().log10_p_adjusted == trace.log10_p);
    CHECK(trace.candidates.back().log10_p_adjusted == 0.0);
    CHECK(trace.log10_gap ==
          doctest::Approx(trace.candidates[1].log10_p - trace.candidates[0].log10_p));
  }
  CHECK(tracer.trace(text, Start::Response).tests.size() == 1);
}

TEST_CASE("Tracer: an account that is not registered is not mistaken for one that is") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(5000));
  const Trace trace = tracer.trace(text_for(keys, 7, 400));
  CHECK(trace.verdict == TraceVerdict::NoAccount);
  CHECK_FALSE(trace.account);
  CHECK(trace.accused.empty());
  CHECK(trace.log10_p > -3.0);
  // Ours it is, by the narrow layer alone.
  CHECK(trace.ours.log10_p < -10.0);
}

TEST_CASE("Tracer: no account is a candidate, and is found as such") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(100));
  const Trace marked = tracer.trace(text_for(keys, std::nullopt, 200));
  CHECK(marked.verdict == TraceVerdict::NoAccount);
  CHECK_FALSE(marked.candidates.front().account);
  CHECK(marked.candidates.front().log10_p < -10.0);
  CHECK(marked.log10_p > -3.0);
  CHECK(marked.log10_p_combined < marked.ours.log10_p);
  // Also where it is not among the best.
  const Trace other = tracer.trace(text_for(keys, guilty, 200));
  CHECK(
      nobody(other).log10_p ==
      doctest::Approx(Detector(keys).score_account(text_for(keys, guilty, 200), "p", {}).log10_p));
}

TEST_CASE("Tracer: a short text is insufficient, and what is missing is told") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  const Trace little = tracer.trace(test::random_tokens(100, vocab_size, 1));
  CHECK(little.verdict == TraceVerdict::Insufficient);
  REQUIRE(little.tokens_to_decide);
  CHECK(*little.tokens_to_decide > 0);
  CHECK(tracer.trace(test::random_tokens(100 + *little.tokens_to_decide, vocab_size, 1)).verdict ==
        TraceVerdict::NoAccount);
  // A text without a wide context.
  const Trace nothing = tracer.trace(test::Tokens{1, 2, 3});
  CHECK(nothing.verdict == TraceVerdict::Insufficient);
  CHECK(nothing.scored == 0);
  CHECK(nothing.log10_p == 0.0);
}

TEST_CASE("Tracer: what a marked token scores is read off the narrow layer where that is found") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  // Of much entropy, and for an account that is not searched.
  const Trace ours = tracer.trace(text_for(keys, 7, 60));
  CHECK(ours.ours.log10_p < -3.0);
  CHECK(ours.verdict == TraceVerdict::NoAccount);
  CHECK(tracer.trace(test::random_tokens(60, vocab_size, 1)).verdict == TraceVerdict::Insufficient);
}

TEST_CASE("Tracer: scores are each account's sum over the wide layer") {
  const KeyRing keys = ring();
  // More than a tile, and not a whole number of them.
  const std::vector<std::uint64_t> ids = accounts(2500);
  const Tracer tracer(keys, "p", ids);
  const test::Tokens text = text_for(keys, guilty, 300);
  const std::vector<double> scores = tracer.scores(text);
  REQUIRE(scores.size() == ids.size());
  const Detector detector(keys);
  for (std::size_t i = 0; i < ids.size(); i += 97) {
    const AccountScore alone = detector.score_account(text, "p", ids[i], Start::Unknown);
    CHECK(scores[i] == doctest::Approx(alone.score).epsilon(1e-12));
    CHECK(tracer.scored(text) == alone.scored);
  }
  CHECK(std::max_element(scores.begin(), scores.end()) - scores.begin() == guilty - 1000);
}

TEST_CASE("Tracer: the candidates are those with the smallest p-values of all accounts") {
  const KeyRing keys = ring();
  const std::vector<std::uint64_t> ids = accounts(3000);
  const Detector detector(keys);
  for (const std::uint64_t seed : {1, 2, 3}) {
    const test::Tokens text = test::random_tokens(120, vocab_size, seed);
    for (const Start start : {Start::Both, Start::Response, Start::Unknown}) {
      std::vector<double> all;
      for (const std::uint64_t id : ids) {
        all.push_back(detector.score_account(text, "p", id, start).log10_p);
      }
      std::sort(all.begin(), all.end());
      const Trace trace = Tracer(keys, "p", ids, {.candidates = 20}).trace(text, start);
      std::size_t i = 0;
      for (const AccountCandidate& candidate : trace.candidates) {
        if (candidate.account) CHECK(candidate.log10_p == doctest::Approx(all[i++]));
      }
      CHECK(i == 20);
    }
  }
}

TEST_CASE("Tracer: the same whatever the threads, the kernels' rows and the order of accounts") {
  const KeyRing keys = ring();
  std::vector<std::uint64_t> ids = accounts(6000);
  const test::Tokens text = text_for(keys, guilty, 150);
  const Trace one = Tracer(keys, "p", ids, {.threads = 1}).trace(text);
  std::reverse(ids.begin(), ids.end());
  std::size_t calls = 0, last = 0;
  const Tracer told(keys, "p", ids,
                    {.threads = 3, .progress = [&](std::size_t done, std::size_t of) {
                       ++calls;
                       last = done;
                       CHECK(of == 6000);
                     }});
  CHECK(calls > 0);
  calls = 0;
  const Trace three = told.trace(text);
  CHECK(calls > 1);
  CHECK(last == 6000);
  REQUIRE(one.candidates.size() == three.candidates.size());
  for (std::size_t i = 0; i < one.candidates.size(); ++i) {
    CHECK(one.candidates[i].account == three.candidates[i].account);
    CHECK(one.candidates[i].log10_p == three.candidates[i].log10_p);
  }
}

TEST_CASE("Tracer: a gap decides beside the p-value") {
  const KeyRing keys = ring();
  const test::Tokens text = text_for(keys, guilty, 200);
  const double gap = Tracer(keys, "p", accounts(1000)).trace(text, Start::Response).log10_gap;
  const auto verdict = [&](double decades) {
    return Tracer(keys, "p", accounts(1000), {.least_gap = std::pow(10.0, decades)})
        .trace(text, Start::Response)
        .verdict;
  };
  CHECK(verdict(gap - 0.01) == TraceVerdict::Account);
  // No acquittal either.
  CHECK(verdict(gap + 0.01) == TraceVerdict::Insufficient);
}

TEST_CASE("Tracer: an account that is given twice is refused, with its rows") {
  const KeyRing keys = ring();
  std::vector<std::uint64_t> ids = accounts(1000);
  std::reverse(ids.begin(), ids.end());
  CHECK_NOTHROW(Tracer(keys, "p", ids));
  ids.push_back(1997);
  const test::Thrown thrown = test::thrown_by([&] { Tracer(keys, "p", ids); });
  CHECK(thrown.code == ErrorCode::InvalidAccounts);
  CHECK(thrown.names("account 1997 occurs twice, in rows 2 and 1000"));
  const std::vector<std::uint64_t> beside = {1, 2, 2, 3};
  CHECK(test::thrown_by([&] { Tracer(keys, "p", beside); }).names("rows 1 and 2"));
}

TEST_CASE("Tracer: sources are told region by region") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  const test::Tokens first = text_for(keys, 1001, 300, 1), second = text_for(keys, 1002, 300, 2);
  test::Tokens text = first;
  const test::Tokens between = test::random_tokens(300, vocab_size, 3);
  text.insert(text.end(), between.begin(), between.end());
  text.insert(text.end(), second.begin(), second.end());
  Trace trace = tracer.trace(text);
  CHECK(trace.verdict == TraceVerdict::Account);
  CHECK(trace.accused.size() == 2);
  REQUIRE(trace.regions.size() == 2);
  for (const auto& [region, account, begin] : {std::tuple(0, 1001, 0), std::tuple(1, 1002, 600)}) {
    const TracedRegion& found = trace.regions[static_cast<std::size_t>(region)];
    CHECK(found.account == static_cast<std::uint64_t>(account));
    // The free prefix carries no mark.
    CHECK(std::abs(static_cast<int>(found.begin) - begin - 24) < 30);
    CHECK(std::abs(static_cast<int>(found.end) - begin - 300) < 15);
    CHECK(found.log10_p < -6.0);
    CHECK(found.log10_gap > 2.0);
  }
  // Each token is two characters.
  std::vector<std::pair<std::size_t, std::size_t>> characters;
  for (std::size_t i = 0; i < text.size(); ++i) characters.emplace_back(2 * i, 2 * i + 2);
  locate(trace, characters);
  CHECK(trace.regions[0].characters ==
        std::pair(2 * trace.regions[0].begin, 2 * trace.regions[0].end));
  characters.pop_back();
  CHECK(test::thrown_by([&] { locate(trace, characters); }).code == ErrorCode::SizeMismatch);
  // A stated start is one response.
  CHECK(tracer.trace(text, Start::Unknown).regions.empty());
}

TEST_CASE("Tracer: a part of little share is found by its region alone") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  test::Tokens text = test::random_tokens(6000, vocab_size, 5);
  const test::Tokens part = text_for(keys, guilty, 250);
  std::copy(part.begin(), part.end(), text.begin() + 3000);
  const Trace trace = tracer.trace(text);
  CHECK(trace.account == guilty);
  REQUIRE(trace.regions.size() == 1);
  CHECK(trace.regions[0].begin >= 2990);
  CHECK(trace.regions[0].end <= 3260);
  CHECK(trace.tests.size() == 2);
  // Whoever is accused is told, though the whole text does not show it.
  const auto found = std::find_if(trace.candidates.begin(), trace.candidates.end(),
                                  [](const AccountCandidate& c) { return c.account == guilty; });
  REQUIRE(found != trace.candidates.end());
  CHECK(found->is_accused);
  CHECK(found->log10_p_adjusted > -3.0);
  CHECK(trace.log10_gap == trace.regions[0].log10_gap);
  // The scores that are shown are theirs, and the p-value of the part is paid for.
  const Tracer alone(keys, "p", std::vector{guilty});
  const Trace by_itself = alone.trace(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!std::isnan(trace.token_scores[i])) {
      CHECK(trace.token_scores[i] == by_itself.token_scores[i]);
    }
  }
  REQUIRE(by_itself.regions.size() == 1);
  CHECK(trace.regions[0].log10_p ==
        doctest::Approx(by_itself.regions[0].log10_p + std::log10(1001.0 / 2.0)));
  std::vector<double> rests;
  for (const double score : by_itself.token_scores) rests.push_back(std::exp(-score));
  CHECK(by_itself.regions[0].log10_p ==
        doctest::Approx(detect::scan(rests, -3.0).log10_p + std::log10(2.0 / 0.05)));
}

TEST_CASE("Tracer: as many are accused as wrote the text, more than get a first look") {
  // Of so many tokens that contexts hardly repeat.
  constexpr std::size_t many = 1000;
  const KeyRing keys = test::ring_of(test::account_options(many));
  test::Tokens text;
  for (std::uint64_t n = 0; n < 70; ++n) {
    const test::Tokens part =
        test::marked_tokens(Sampler(keys, "p"), 400, many, {.account = 1000 + n, .seed = n + 1});
    text.insert(text.end(), part.begin(), part.end());
  }
  std::vector<std::vector<std::uint64_t>> accused;
  for (const std::size_t told : {1, 200}) {
    const Tracer tracer(keys, "p", accounts(500), {.least_gap = 2.0, .candidates = told});
    const Trace trace = tracer.trace(text, Start::Unknown);
    CHECK(trace.candidates.size() == std::max(told, trace.accused.size()) + 1);
    accused.push_back(trace.accused);
  }
  CHECK(accused[0].size() > 64);
  CHECK(accused[0] == accused[1]);
}

TEST_CASE("Tracer: a language model's probabilities find what the key alone does not") {
  const KeyRing keys = ring(0);
  const Sampler sampler(keys, "p");
  Sequence sequence = sampler.sequence({.account = guilty, .seed = 1});
  std::vector<double> probabilities;
  for (std::size_t i = 0; i < 200; ++i) {
    TokenId token = 0;
    REQUIRE(sequence.sample(row_of_little_entropy(i), {}, token) == ErrorCode::Ok);
    const double all = std::exp(6.0) + vocab_size - 1;
    probabilities.push_back(static_cast<std::size_t>(token) == likely_at(i) ? std::exp(6.0) / all
                                                                            : 1.0 / all);
  }
  const Tracer tracer(keys, "p", accounts(1000));
  const Trace blind = tracer.trace(sequence.tokens());
  std::map<Start, Trace> by_start;
  for (const Start start : {Start::Both, Start::Response, Start::Unknown}) {
    by_start.emplace(start, tracer.trace(sequence.tokens(), {probabilities}, start));
  }
  const Trace& knowing = by_start.at(Start::Both);
  CHECK(knowing.verdict == TraceVerdict::Account);
  CHECK(knowing.account == guilty);
  CHECK(knowing.log10_p < blind.log10_p - 3.0);
  CHECK(knowing.tests.front().statistic == Statistic::Likelihood);
  // The search ranks as the p-values do, which the single account has too.
  for (const auto& [start, all] : by_start) {
    const std::uint64_t second = *all.candidates[1].account;
    const Trace alone =
        Tracer(keys, "p", std::vector{second}).trace(sequence.tokens(), {probabilities}, start);
    CHECK(alone.candidates.front().log10_p == doctest::Approx(all.candidates[1].log10_p));
    for (const AccountCandidate& candidate : all.candidates) {
      if (candidate.account) CHECK(candidate.log10_p >= all.candidates.front().log10_p);
    }
  }
  // Without a free prefix a response may begin anywhere in itself.
  CHECK(by_start.at(Start::Response).candidates[0].log10_p ==
        by_start.at(Start::Unknown).candidates[0].log10_p);
  // Where nothing is known, nothing is found.
  const std::vector<double> unknown(200, std::numeric_limits<double>::quiet_NaN());
  CHECK(tracer.trace(sequence.tokens(), {unknown}, Start::Unknown).log10_p == 0.0);
  CHECK(test::thrown_by([&] {
          tracer.trace(sequence.tokens(), {std::span(unknown).first(3)});
        }).code == ErrorCode::SizeMismatch);
}

TEST_CASE("Tracer: with a free prefix the likelihood pays for both starts") {
  const KeyRing keys = ring(24);
  const Tracer tracer(keys, "p", std::vector{guilty});
  const test::Tokens text = text_for(keys, guilty, 120);
  const std::vector<double> probabilities(120, 0.1);
  const auto p = [&](Start start) {
    return tracer.trace(text, {probabilities}, start).candidates.front().log10_p;
  };
  CHECK(p(Start::Response) < p(Start::Unknown));
  CHECK(p(Start::Both) == doctest::Approx(p(Start::Response) + std::log10(2.0)));
}

TEST_CASE("Tracer: both layers together say ours, corrected for the search") {
  const KeyRing keys = ring(0);
  const Tracer tracer(keys, "p", accounts(1000));
  const test::Tokens text = text_for(keys, guilty, 100);
  const Trace trace = tracer.trace(text, Start::Unknown);
  const double n = static_cast<double>(trace.ours.scored + trace.scored);
  const double score = trace.ours.score + trace.candidates.front().score;
  CHECK(trace.log10_p_combined ==
        doctest::Approx(stats::log10_gamma_tail(n, score) + std::log10(1001.0)));
  CHECK(trace.log10_p_combined < trace.ours.log10_p);
  CHECK(trace.log10_p_combined < trace.log10_p);
}

TEST_CASE("Tracer: token scores are those of the wide layer under the first candidate") {
  const KeyRing keys = ring(0);
  const Tracer tracer(keys, "p", accounts(10));
  const test::Tokens text = text_for(keys, 1003, 100);
  const Trace trace = tracer.trace(text, Start::Unknown);
  double sum = 0.0;
  std::size_t scored = 0;
  for (const double score : trace.token_scores) {
    if (std::isnan(score)) continue;
    ++scored;
    sum += score;
  }
  CHECK(trace.token_scores.size() == text.size());
  CHECK(scored == trace.scored);
  CHECK(sum == doctest::Approx(trace.candidates.front().score));
}

TEST_CASE("Tracer: asks for a profile with accounts, for accounts, and for options in range") {
  KeyRing keys = ring();
  keys.import_secret("without", test::secret_bytes(2), test::marked_options(vocab_size));
  const auto refusal = [&](const char* profile, std::size_t count, const TracerOptions& options) {
    return test::thrown_by([&] { Tracer(keys, profile, accounts(count), options); });
  };
  CHECK(refusal("without", 1, {}).code == ErrorCode::AccountMismatch);
  CHECK(refusal("without", 1, {}).names("\"without\""));
  CHECK(refusal("nobody", 1, {}).code == ErrorCode::UnknownProfile);
  CHECK(refusal("p", 0, {}).names("accounts is empty"));
  CHECK(refusal("p", 1, {.false_accusation_rate = 0.0}).names("false_accusation_rate"));
  CHECK(refusal("p", 1, {.false_accusation_rate = 0.6}).names("0.6"));
  CHECK(refusal("p", 1, {.least_gap = 0.5}).names("least_gap"));
  CHECK(refusal("p", 1, {.least_gap = std::nan("")}).names("least_gap"));
  CHECK(refusal("p", 1, {.candidates = 0}).names("candidates"));
  CHECK(refusal("p", 1, {.candidates = 1001}).names("1001"));
  CHECK(refusal("p", 1, {}).message == "");
  const Tracer tracer(keys, "p", accounts(1));
  const auto bad = [&](const test::Tokens& tokens) {
    return test::thrown_by([&] { tracer.trace(tokens); });
  };
  CHECK(bad({}).code == ErrorCode::EmptyText);
  CHECK(bad({1, 2, 50}).names("token 2 "));
  CHECK(test::thrown_by([&] { (void)tracer.scores({}); }).code == ErrorCode::EmptyText);
  CHECK(test::thrown_by([&] { (void)tracer.scored({}); }).code == ErrorCode::EmptyText);
}

TEST_CASE("Tracer: a progress that throws ends the search, and the tracer goes on") {
  const KeyRing keys = ring();
  bool stop = false;
  const Tracer tracer(keys, "p", accounts(10), {.progress = [&](std::size_t, std::size_t) {
                        if (stop) throw Error(ErrorCode::Ok, "stopped");
                      }});
  const test::Tokens text = text_for(keys, 1003, 100);
  stop = true;
  CHECK(test::thrown_by([&] { tracer.trace(text); }).message == "stopped");
  stop = false;
  CHECK(tracer.trace(text).account == 1003);
}

TEST_CASE(
    "plan_accounts: a larger share of a layer needs less text for it, and more for the other") {
  const std::vector<std::int64_t> units = {0, 16384, 32768, 49152, 65536};
  const std::vector<AccountPlan> plans = plan_accounts(units, {.free_prefix = 0});
  REQUIRE(plans.size() == units.size());
  CHECK_FALSE(plans.front().tokens_for_ours);
  CHECK_FALSE(plans.back().tokens_for_account);
  for (std::size_t i = 2; i + 1 < plans.size(); ++i) {
    CHECK(*plans[i].tokens_for_ours < *plans[i - 1].tokens_for_ours);
    CHECK(*plans[i].tokens_for_account > *plans[i - 1].tokens_for_account);
  }
  // At a share of one half: twice the scores that the p-value needs.
  const auto n = static_cast<double>(*plans[2].tokens_for_account) / 2.0;
  const double bar = -3.0 - std::log10(1'000'001.0);
  CHECK(stats::log10_gamma_tail(n, 1.5 * n) <= bar);
  CHECK(stats::log10_gamma_tail(n - 1.0, 1.5 * (n - 1.0)) > bar);
  CHECK(*plan_accounts(units)[2].tokens_for_account == *plans[2].tokens_for_account + 24);
  CHECK(*plan_accounts(units, {.accounts = 10}).at(2).tokens_for_account <
        *plan_accounts(units).at(2).tokens_for_account);
  CHECK_FALSE(plan_accounts(units, {.marked_score = 1.0 + 1e-9}).at(2).tokens_for_account);
  const auto refusal = [&](std::int64_t some_units, const AccountPlanOptions& options) {
    return test::thrown_by([&] { (void)plan_accounts(std::vector{some_units}, options); });
  };
  CHECK(refusal(-1, {}).names("narrow_units"));
  CHECK(refusal(65537, {}).names("65537"));
  CHECK(refusal(0, {.accounts = 0}).names("accounts"));
  CHECK(refusal(0, {.marked_score = 1.0}).names("marked_score"));
  CHECK(refusal(0, {.false_positive_rate = 0.0}).names("false_positive_rate"));
  CHECK(refusal(0, {.false_accusation_rate = 1.0}).names("false_accusation_rate"));
}
