#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "rates.h"
#include "support.h"

using namespace countermark;
using base::Json;

namespace {

constexpr std::size_t vocab_size = 1000;
constexpr std::size_t template_size = 60;
constexpr std::size_t document_size = 100;

/// What every document begins with.
test::Tokens letterhead() { return test::random_tokens(template_size, vocab_size, 99); }

/// Document number n: the letterhead, and text of its own.
test::Tokens document(std::uint64_t n) {
  test::Tokens tokens = letterhead();
  const test::Tokens own =
      test::random_tokens(document_size - template_size, vocab_size, 1'000'000 + n);
  tokens.insert(tokens.end(), own.begin(), own.end());
  return tokens;
}

std::vector<test::Tokens> documents(std::size_t count) {
  std::vector<test::Tokens> all;
  for (std::uint64_t n = 0; n < count; ++n) all.push_back(document(n));
  return all;
}

/// A key that takes the letterhead for marked at a rate of 1 in 1000: there is one such in a
/// thousand.
KeyRing unlucky_ring() {
  for (std::uint64_t n = 0;; ++n) {
    KeyRing ring = test::ring_of(test::marked_options(vocab_size), n);
    if (Detector(ring).detect(letterhead()).log10_p < -3.0) return ring;
  }
}

Calibration build(const KeyRing& ring, const std::vector<test::Tokens>& texts,
                  const CalibrationOptions& options = {}) {
  const std::vector<std::span<const TokenId>> views(texts.begin(), texts.end());
  return Calibration::build(ring, "p", views, options);
}

test::Thrown thrown_by_build(const std::vector<test::Tokens>& texts,
                             const CalibrationOptions& options = {}) {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  return test::thrown_by([&] { build(ring, texts, options); });
}

/// A calibration of few documents, as JSON.
Json small_json(const KeyRing& ring) {
  return Json::parse(build(ring, documents(100), {.lengths = {50}}).to_json());
}

/// The number of texts called marked.
std::size_t count_marked(const Detector& detector, const std::vector<test::Tokens>& texts) {
  return static_cast<std::size_t>(std::ranges::count_if(texts, [&](const test::Tokens& text) {
    return detector.detect(text).verdict == Verdict::Marked;
  }));
}

}  // namespace

TEST_CASE("Calibration: finds the n-grams that documents share, and no others") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Calibration calibration = build(ring, documents(120), {.lengths = {50}});
  CHECK(calibration.profile() == "p");
  CHECK(calibration.key_id() == ring.profile("p").key_id());
  CHECK(calibration.documents() == 120);
  CHECK(calibration.common_in() == 4);
  // Of 3 and of 5 tokens: contexts of 2 and of 4.
  constexpr std::size_t of_letterhead = template_size - 2 + template_size - 4;
  CHECK(calibration.common_ngrams() == of_letterhead);

  // Four documents make an n-gram common, and one document does not, however often it repeats it.
  std::vector<test::Tokens> texts;
  for (std::uint64_t n = 0; n < 120; ++n) texts.push_back(test::random_tokens(40, vocab_size, n));
  CHECK(build(ring, texts, {.lengths = {50}}).common_ngrams() == 0);
  texts[0] = test::Tokens(40, 7);
  CHECK(build(ring, texts, {.lengths = {50}}).common_ngrams() == 0);
  for (std::size_t i = 1; i < 3; ++i) texts[i] = texts[0];
  CHECK(build(ring, texts, {.lengths = {50}}).common_ngrams() == 0);
  texts[3] = texts[0];
  CHECK(build(ring, texts, {.lengths = {50}}).common_ngrams() == 2);
  CHECK(build(ring, texts, {.common_in = 5, .lengths = {50}}).common_ngrams() == 0);
  CHECK(build(ring, documents(120), {.common_in = 120, .lengths = {50}}).common_ngrams() ==
        of_letterhead);
}

TEST_CASE("Calibration: a key that errs on a template no longer does") {
  const KeyRing ring = unlucky_ring();
  const std::vector<test::Tokens> texts = documents(400);
  const Calibration calibration = build(ring, texts, {.lengths = {50, 100, 200}});
  REQUIRE(calibration.rates().size() == 3);
  for (const MeasuredRates& rates : calibration.rates()) {
    CAPTURE(rates.tokens);
    CHECK(rates.log10_inflation >= 0.0);
    CHECK(rates.log10_inflation < 1.0);
    CHECK(rates.pieces == 400 * (document_size / rates.tokens));
    if (rates.pieces == 0) {
      // Too few to tell.
      CHECK(rates.plain.empty());
      CHECK(rates.filtered.empty());
      continue;
    }
    REQUIRE(rates.plain.size() == 3);
    REQUIRE(rates.filtered.size() == 3);
    CHECK(rates.plain[1] > 0.2);
    for (std::size_t i = 0; i < 3; ++i) {
      const double nominal = std::pow(10.0, -1.0 - static_cast<double>(i));
      const auto count = static_cast<std::size_t>(
          std::lround(rates.filtered[i] * static_cast<double>(rates.pieces)));
      CHECK(test::chance_of(count, rates.pieces, nominal) > 1e-6);
    }
  }
  // Documents that were not among them.
  std::vector<test::Tokens> others;
  for (std::uint64_t n = 0; n < 300; ++n) others.push_back(document(5000 + n));
  const Detector plain(ring, {.false_positive_rate = 0.01});
  const Detector calibrated(ring, {.false_positive_rate = 0.01, .calibrations = {calibration}});
  CHECK(count_marked(plain, others) > 60);
  CHECK(test::chance_of(count_marked(calibrated, others), 300, 0.01) > 1e-6);
  // What is marked is still found: only the letterhead says nothing any more.
  const test::Tokens marked = test::marked_tokens(Sampler(ring, "p"), 150, vocab_size);
  test::Tokens letter = letterhead();
  letter.insert(letter.end(), marked.begin(), marked.end());
  const Detection found = calibrated.detect(letter);
  CHECK(found.verdict == Verdict::Marked);
  for (std::size_t i = 0; i < template_size; ++i) CHECK(std::isnan(found.token_scores[i]));
  const std::vector<double> with = plain.detect(letter).token_scores;
  for (std::size_t i = template_size + 4; i < letter.size(); ++i) {
    CHECK(std::isnan(found.token_scores[i]) == std::isnan(with[i]));
  }
}

TEST_CASE("Calibration: the same from any number of threads, and from its own JSON") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const std::vector<test::Tokens> texts = documents(250);
  const CalibrationOptions options = {.lengths = {50, 100}, .threads = 1};
  const Calibration calibration = build(ring, texts, options);
  const std::string json = calibration.to_json();
  CHECK(json.find('\n') == std::string::npos);
  CHECK(build(ring, texts, {.lengths = {50, 100}, .threads = 3}).to_json() == json);
  CHECK(Json::parse(json).at("format") == "countermark.calibration/1");

  const test::TemporaryFolder folder;
  calibration.save(folder / "calibration.json");
  for (const Calibration& again :
       {Calibration::from_json(json), Calibration::open(folder / "calibration.json")}) {
    CHECK(again.to_json() == json);
    CHECK(again.profile() == "p");
    CHECK(again.key_id() == calibration.key_id());
    CHECK(again.documents() == 250);
    CHECK(again.common_in() == calibration.common_in());
    CHECK(again.common_ngrams() == calibration.common_ngrams());
    REQUIRE(again.rates().size() == 2);
    CHECK(again.rates()[0].plain == calibration.rates()[0].plain);
    CHECK(again.rates()[1].filtered == calibration.rates()[1].filtered);
    CHECK(again.rates()[1].log10_inflation == calibration.rates()[1].log10_inflation);
    const Detector a(ring, {.calibrations = {calibration}}), b(ring, {.calibrations = {again}});
    CHECK(to_json(a.detect(texts[7])) == to_json(b.detect(texts[7])));
  }
  CHECK(test::thrown_by([&] { Calibration::open(folder / "none.json"); }).code ==
        ErrorCode::FileFailure);
}

TEST_CASE("Calibration: no secret is in it") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const test::SecretBytes secret = test::secret_bytes(1);
  const std::string json = build(ring, documents(100), {.lengths = {50}}).to_json();
  std::string hex;
  for (const std::uint8_t byte : secret) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  for (std::size_t i = 0; i + 8 <= hex.size(); i += 8) {
    CHECK(json.find(hex.substr(i, 8)) == std::string::npos);
  }
}

TEST_CASE("Calibration: the factor is the larger one of the lengths about a text's") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  Json json = small_json(ring);
  const auto rate = [](std::size_t tokens, double inflation, bool is_known) {
    const Json shares = is_known ? Json{0.1, 0.01, 0.001} : Json::array();
    return Json{{"tokens", tokens},
                {"pieces", 500},
                {"plain", shares},
                {"filtered", shares},
                {"log10_inflation", inflation}};
  };
  // The rates at 200 tokens are not known: too few pieces.
  json["rates"] = Json::array(
      {rate(50, 0.5, true), rate(100, 0.25, true), rate(200, 0.0, false), rate(400, 0.75, true)});
  json["common_ngrams"] = "";
  const Calibration calibration = Calibration::from_json(json.dump());
  constexpr struct {
    std::size_t tokens;
    double expected;
  } cases[] = {{1, 0.5},    {50, 0.5},   {51, 0.5},   {99, 0.5},   {100, 0.25},    {101, 0.75},
               {200, 0.75}, {399, 0.75}, {400, 0.75}, {401, 0.75}, {100'000, 0.75}};
  for (const auto& c : cases) {
    CAPTURE(c.tokens);
    CHECK(calibration.log10_inflation(c.tokens) == c.expected);
  }
  json["rates"] = Json::array();
  CHECK(Calibration::from_json(json.dump()).log10_inflation(100) == 0.0);
}

TEST_CASE("Detector: a calibration's factor enlarges every p-value, parts' too") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  Json json = small_json(ring);
  json["rates"][0]["filtered"] = {0.1, 0.01, 0.001};
  json["rates"][0]["log10_inflation"] = 2.0;
  json["rates"].push_back(json["rates"][0]);
  json["rates"][1]["tokens"] = 300;
  json["rates"][1]["log10_inflation"] = 0.5;
  json["common_ngrams"] = "";
  const Calibration calibration = Calibration::from_json(json.dump());
  const test::Tokens text = test::marked_tokens(Sampler(ring, "p"), 100, vocab_size);
  const Detection plain = Detector(ring).detect(text);
  const Detection enlarged = Detector(ring, {.calibrations = {calibration}}).detect(text);
  REQUIRE(plain.log10_p < -10.0);
  CHECK(plain.results[0].log10_inflation == 0.0);
  CHECK(enlarged.results[0].log10_inflation == 2.0);
  CHECK(enlarged.log10_p == doctest::Approx(plain.log10_p + 2.0).epsilon(1e-12));
  CHECK(enlarged.results[0].tests[0].log10_p == plain.results[0].tests[0].log10_p);
  REQUIRE(plain.regions.size() == 1);
  REQUIRE(enlarged.regions.size() == 1);
  CHECK(enlarged.regions[0].log10_p ==
        doctest::Approx(plain.regions[0].log10_p + 2.0).epsilon(1e-12));
  const double between = std::pow(10.0, plain.log10_p + 1.0);
  CHECK(Detector(ring, {.false_positive_rate = between}).detect(text).verdict == Verdict::Marked);
  CHECK(Detector(ring, {.false_positive_rate = between, .calibrations = {calibration}})
            .detect(text)
            .verdict != Verdict::Marked);
  // That of the text's own length.
  const test::Tokens longer = test::random_tokens(400, vocab_size, 5);
  CHECK(Detector(ring, {.calibrations = {calibration}}).detect(longer).results[0].log10_inflation ==
        0.5);
  // Never above 1.
  const test::Tokens other = test::random_tokens(100, vocab_size, 5);
  CHECK(Detector(ring, {.calibrations = {calibration}}).detect(other).log10_p == 0.0);
}

TEST_CASE("Detector: a calibration of another key, mark or profile, or a second one, is refused") {
  KeyRing ring = test::ring_of(test::marked_options(vocab_size), 1);
  ring.import_secret("q", test::secret_bytes(2), test::marked_options(vocab_size));
  const Calibration calibration = build(ring, documents(100), {.lengths = {50}});
  const auto thrown_by = [](const KeyRing& other, const std::vector<Calibration>& calibrations) {
    const auto thrown = test::thrown_by([&] { Detector(other, {.calibrations = calibrations}); });
    if (!calibrations.empty() && thrown.code != ErrorCode::Ok) {
      CHECK(thrown.code == ErrorCode::InvalidCalibration);
      CHECK(thrown.names("\"p\""));
    }
    return thrown;
  };
  CHECK(thrown_by(ring, {calibration}).message == "");
  CHECK(thrown_by(ring, {calibration, calibration}).names("two calibrations"));
  CHECK(thrown_by(test::ring_of(test::marked_options(vocab_size), 3), {calibration})
            .names("another key"));
  ProfileOptions parameters = test::marked_options(vocab_size);
  parameters.narrow_width = 3;
  CHECK(thrown_by(test::ring_of(parameters, 1), {calibration}).names("other parameters"));
  const std::vector<std::string> only_q = {"q"};
  const auto thrown =
      test::thrown_by([&] { Detector(ring, only_q, {.calibrations = {calibration}}); });
  CHECK(thrown.code == ErrorCode::InvalidCalibration);
  CHECK(thrown.names("does not test"));
  // A profile without one is tested as it is.
  const Detection detection = Detector(ring, {.calibrations = {calibration}})
                                  .detect(test::random_tokens(80, vocab_size, 1));
  CHECK(detection.results[1].log10_inflation == 0.0);
}

TEST_CASE("Calibration: too few documents, ids out of range and wrong options are told") {
  CHECK(thrown_by_build({}).code == ErrorCode::EmptyText);
  std::vector<test::Tokens> texts = documents(99);
  texts.resize(150);  // empty ones do not count
  auto thrown = thrown_by_build(texts);
  CHECK(thrown.code == ErrorCode::EmptyText);
  CHECK(thrown.names("needs 100 documents"));
  CHECK(thrown.names("got 99"));
  texts[120] = {5};
  CHECK(thrown_by_build(texts, {.lengths = {50}}).message == "");
  texts[130] = {1, 2, 1000, -1};
  thrown = thrown_by_build(texts);
  CHECK(thrown.code == ErrorCode::TokenOutOfRange);
  CHECK(thrown.names("token 2 of document 130 is 1000"));
  CHECK(thrown.names("0..999"));

  for (const std::vector<std::size_t>& lengths :
       {std::vector<std::size_t>{}, {0, 50}, {100, 50}, {50, 50}}) {
    thrown = thrown_by_build(documents(100), {.lengths = lengths});
    CHECK(thrown.code == ErrorCode::InvalidOption);
    CHECK(thrown.names("lengths"));
  }
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  CHECK(test::thrown_by([&] { Calibration::build(ring, "z", {}); }).code ==
        ErrorCode::UnknownProfile);
}

TEST_CASE("Calibration::from_json: what is wrong is told by its field") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Json good = small_json(ring);
  const auto thrown_by = [](const std::string& text) {
    return test::thrown_by([&] { Calibration::from_json(text); });
  };
  CHECK(thrown_by(good.dump()).message == "");
  for (const char* text : {"", "{", "[]", "7", "null", "\"countermark.calibration/1\""}) {
    CAPTURE(text);
    CHECK(thrown_by(text).code == ErrorCode::InvalidCalibration);
  }
  for (const auto& item : good.items()) {
    if (item.key() == "nominal") continue;  // for people
    CAPTURE(item.key());
    Json json = good;
    json.erase(item.key());
    const auto thrown = thrown_by(json.dump());
    CHECK(thrown.code == ErrorCode::InvalidCalibration);
    CHECK(thrown.names("\"" + item.key() + "\""));
  }
  struct {
    const char* path;
    Json value;
    const char* named;
  } const cases[] = {
      {"/format", 1, "format"},
      {"/profile", 1, "profile"},
      {"/key_id", nullptr, "key_id"},
      {"/documents", -1, "documents"},
      {"/documents", 1.5, "documents"},
      {"/documents", "100", "documents"},
      {"/common_in", nullptr, "common_in"},
      {"/common_ngrams", Json::array(), "common_ngrams"},
      {"/common_ngrams", "0123456789abcde", "16 hex digits"},
      {"/common_ngrams", "0123456789abcdef0123456789abcde", "16 hex digits"},
      {"/common_ngrams", "0123456789abcdeg", "16 hex digits"},
      {"/rates", Json::object(), "rates"},
      {"/rates", Json{1}, "object"},
      {"/rates/0/tokens", -5, "tokens"},
      {"/rates/0/pieces", "many", "pieces"},
      {"/rates/0/plain", Json{0.1, 0.01}, "plain"},
      {"/rates/0/plain", Json{0.1, 0.01, "0.001"}, "plain"},
      {"/rates/0/filtered", 0.1, "filtered"},
      {"/rates/0/log10_inflation", -0.1, "log10_inflation"},
      {"/rates/0/log10_inflation", nullptr, "log10_inflation"},
      {"/rates/0/log10_inflation", "0", "log10_inflation"},
      {"/rates/1", good.at("rates").at(0), "increasing"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.path);
    CAPTURE(c.named);
    Json json = good;
    json[Json::json_pointer(c.path)] = c.value;
    const auto thrown = thrown_by(json.dump());
    CHECK(thrown.code == ErrorCode::InvalidCalibration);
    CHECK(thrown.names(c.named));
  }
  Json newer = good;
  newer["format"] = "countermark.calibration/2";
  CHECK(thrown_by(newer.dump()).code == ErrorCode::UnsupportedFormat);
  CHECK(thrown_by(newer.dump()).names("countermark.calibration/2"));
}
