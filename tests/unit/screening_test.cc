#include "countermark/screening.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "countermark/tracer.h"
#include "stats/evidence.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;

std::vector<std::uint64_t> accounts(std::size_t count) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), std::uint64_t{1000});
  return ids;
}

KeyRing ring() { return test::ring_of(test::account_options(vocab_size)); }

/// Texts for one account that differ, as a model's answers do.
test::Tokens text_for(const KeyRing& from, std::uint64_t account, std::size_t size,
                      std::uint64_t number) {
  const Sampler sampler(from, "p");
  Sequence sequence = sampler.sequence({.account = account, .seed = number});
  for (std::size_t i = 0; i < size; ++i) {
    TokenId token = 0;
    (void)sequence.sample(test::random_row(vocab_size, 1000 * number + i), {}, token);
  }
  return {sequence.tokens().begin(), sequence.tokens().end()};
}

}  // namespace

TEST_CASE("Screening: finds the accounts of a corpus, each with its texts") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  Screening screening(tracer);
  for (std::uint64_t n = 0; n < 40; ++n) {
    const bool is_guilty = n % 10 == 3;
    const ScreenedText screened =
        screening.add(is_guilty ? text_for(keys, 1000 + n % 20, 120, n)
                                : test::random_tokens(120, vocab_size, n));
    CHECK(screened.text == n);
    if (is_guilty) CHECK(screened.is_searched);
    if (is_guilty) CHECK(screened.is_evidence);
    if (is_guilty) CHECK(screened.ours.log10_p < -6.0);
    if (!screened.is_searched) CHECK(screened.scored == 0);
  }
  const ScreeningResult result = screening.result();
  CHECK(result.texts == 40);
  CHECK(result.searched >= 4);
  CHECK(result.searched < 20);
  CHECK(result.tested == 1000);
  REQUIRE(result.discovered == 2);
  CHECK(result.log10_e_least == result.accounts[1].log10_e);
  for (std::size_t i = 0; i < 2; ++i) {
    const AccountEvidence& found = result.accounts[i];
    CHECK(found.is_discovered);
    const std::size_t first = found.account == 1003 ? 3 : 13;
    CHECK(found.account == 1000 + first);
    REQUIRE(found.texts.size() == 2);
    CHECK(found.texts[0].log10_e >= found.texts[1].log10_e);
    CHECK(found.texts[0].text + found.texts[1].text == 2 * first + 20);
    // Together they say more than either.
    CHECK(found.log10_e > found.texts[0].log10_e);
  }
  for (std::size_t i = 2; i < result.accounts.size(); ++i) {
    CHECK_FALSE(result.accounts[i].is_discovered);
    CHECK(result.accounts[i].log10_e <= result.accounts[i - 1].log10_e);
  }
}

TEST_CASE("Screening: a text's e-value is the tracer's, and accounts' products are as described") {
  const KeyRing keys = ring();
  const std::vector<std::uint64_t> ids = accounts(10);
  const Tracer tracer(keys, "p", ids);
  Screening screening(tracer, {.ours_rate = 1.0});
  const test::Tokens text = text_for(keys, 1004, 60, 1);
  screening.add(text);
  screening.add(test::random_tokens(60, vocab_size, 1));
  const AccountEvidence found = screening.result().accounts.at(0);
  CHECK(found.account == 1004);
  const double log10_e = tracer.trace(text).candidates.front().log10_e;
  REQUIRE(found.texts.size() == 1);
  CHECK(found.texts[0].log10_e == doctest::Approx(log10_e));
  CHECK(found.texts[0].scored == tracer.scored(text));
  double mean = 0.0;
  for (const double share : {0x1p-1, 0x1p-4, 0x1p-7, 0x1p-10, 0x1p-13}) {
    mean += (1.0 - share + share * std::pow(10.0, log10_e)) * (1.0 - share) / 5.0;
  }
  CHECK(found.log10_e == doctest::Approx(std::log10(mean)));
}

TEST_CASE("Screening: a copy of a text says nothing new") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(10));
  Screening screening(tracer);
  const test::Tokens text = text_for(keys, 1004, 100, 1);
  CHECK(screening.add(text).scored == tracer.scored(text));
  const double once = screening.result().accounts.at(0).log10_e;
  const ScreenedText again = screening.add(text);
  CHECK(again.scored == 0);
  CHECK_FALSE(again.is_evidence);
  CHECK_FALSE(again.is_searched);
  CHECK(screening.result().accounts.at(0).log10_e == once);
  CHECK(screening.result().texts == 2);
  CHECK(screening.result().accounts.at(0).texts.size() == 1);
}

TEST_CASE("Screening: many weak texts add up") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  Screening screening(tracer, {.ours_rate = 1.0});
  double strongest = 0.0;
  for (std::uint64_t n = 0; n < 12; ++n) {
    const test::Tokens text = text_for(keys, 1004, 16, n);
    strongest = std::max(strongest, Detector(keys).score_account(text, "p", 1004).log10_p * -1.0);
    screening.add(text);
  }
  const ScreeningResult result = screening.result();
  CHECK(result.discovered == 1);
  CHECK(result.accounts.at(0).account == 1004);
  CHECK(result.accounts.at(0).log10_e > 1.5 * strongest);
}

TEST_CASE("Screening: discoveries reach the bar of e-BH, and no others do") {
  const KeyRing keys = ring();
  const Tracer tracer(keys, "p", accounts(1000));
  for (const double rate : {0.5, 0.01, 1e-9}) {
    Screening screening(tracer, {.false_discovery_rate = rate, .ours_rate = 1.0});
    for (std::uint64_t n = 0; n < 6; ++n) screening.add(text_for(keys, 1000 + n, 24 + 8 * n, n));
    const ScreeningResult result = screening.result();
    for (std::size_t i = 0; i < result.accounts.size(); ++i) {
      // Some number of accounts, this one the last of them, reaches the bar for that number.
      bool reaches = false;
      for (std::size_t k = i; k < result.accounts.size(); ++k) {
        reaches |= std::pow(10.0, result.accounts[k].log10_e) >=
                   1000.0 / (rate * static_cast<double>(k + 1)) * (1.0 - 1e-12);
      }
      CHECK(result.accounts[i].is_discovered == reaches);
    }
  }
}

TEST_CASE("Screening: asks for options in range and for texts, and an error changes nothing") {
  const KeyRing keys = ring();
  bool stop = false;
  const Tracer tracer(keys, "p", accounts(10), {.progress = [&](std::size_t, std::size_t) {
                        if (stop) throw Error(ErrorCode::Ok, "stopped");
                      }});
  const auto refusal = [&](const ScreeningOptions& options) {
    return test::thrown_by([&] { Screening(tracer, options); });
  };
  CHECK(refusal({.false_discovery_rate = 0.0}).names("false_discovery_rate"));
  CHECK(refusal({.false_discovery_rate = 0.6}).names("0.6"));
  CHECK(refusal({.ours_rate = 0.0}).names("ours_rate"));
  CHECK(refusal({.ours_rate = 1.1}).names("ours_rate"));
  Screening screening(tracer);
  CHECK(test::thrown_by([&] { screening.add({}); }).code == ErrorCode::EmptyText);
  const test::Tokens text = text_for(keys, 1004, 100, 1);
  stop = true;
  CHECK(test::thrown_by([&] { screening.add(text); }).message == "stopped");
  stop = false;
  CHECK(screening.result().texts == 0);
  CHECK(screening.add(text).text == 0);
  CHECK(screening.result().accounts.at(0).account == 1004);
  CHECK(screening.result().discovered == 1);
}
