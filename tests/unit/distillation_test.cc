#include "countermark/distillation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "distill/pair_counts.h"
#include "distill/weighted_pairs.h"
#include "engines.h"
#include "marks/countermark_1.h"
#include "profiles/key_ring_impl.h"
#include "profiles/profile_impl.h"
#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 40;

KeyRing ring(std::uint64_t n = 1, std::int64_t narrow_units = 65536) {
  ProfileOptions options = test::marked_options(vocab_size);
  options.narrow_units = narrow_units;
  return test::ring_of(options, n);
}

/// The next token's logits depend on the last token: a language.
test::Row row_after(TokenId last) {
  return test::random_row(vocab_size, 77 + static_cast<std::uint64_t>(last));
}

/// Counts of what followed each pair of tokens in a teacher's answers, and answers of a student
/// that repeats them.
class Student {
 public:
  void learn(const test::Tokens& answer) {
    for (std::size_t i = 2; i < answer.size(); ++i) {
      seen_[{answer[i - 2], answer[i - 1]}].push_back(answer[i]);
    }
  }
  test::Tokens answer(std::size_t size, std::mt19937_64& random) const {
    test::Tokens tokens = {static_cast<TokenId>(random() % vocab_size),
                           static_cast<TokenId>(random() % vocab_size)};
    while (tokens.size() < size) {
      const auto found = seen_.find({tokens[tokens.size() - 2], tokens.back()});
      tokens.push_back(found == seen_.end() ? static_cast<TokenId>(random() % vocab_size)
                                            : found->second[random() % found->second.size()]);
    }
    return tokens;
  }

 private:
  std::map<std::pair<TokenId, TokenId>, std::vector<TokenId>> seen_;
};

test::Tokens teacher_answer(const Sampler& sampler, std::uint64_t seed) {
  Sequence sequence = sampler.sequence({.seed = seed});
  std::mt19937_64 random(seed);
  (void)sequence.observe(static_cast<TokenId>(random() % vocab_size));
  (void)sequence.observe(static_cast<TokenId>(random() % vocab_size));
  while (sequence.size() < 100) {
    TokenId token = 0;
    (void)sequence.sample(row_after(sequence.tokens().back()), {}, token);
  }
  return {sequence.tokens().begin(), sequence.tokens().end()};
}

Student student_of(const KeyRing& keys, std::size_t answers) {
  const Sampler sampler(keys, "p");
  Student student;
  for (std::uint64_t n = 0; n < answers; ++n) student.learn(teacher_answer(sampler, n));
  return student;
}

DistillationResult result_for(const KeyRing& keys, const Student& student, PairWeights weights,
                              std::uint64_t seed = 5) {
  DistillationTest distillation(keys, "p", {.weights = weights, .decoys = 19});
  std::mt19937_64 random(seed);
  for (int i = 0; i < 40; ++i) distillation.add_answer({}, student.answer(100, random));
  if (weights == PairWeights::Reference || weights == PairWeights::MostPowerful) {
    const Student other = student_of(ring(99), 60);
    for (int i = 0; i < 60; ++i) distillation.add_reference(other.answer(100, random));
  }
  return distillation.result();
}

std::shared_ptr<const marks::EngineMark> engine_of(const KeyRing& keys) {
  const auto [entry, profile] = keys.impl().find("p");
  return profiles::make_engine_mark(entry->secret, *profile);
}

keys::Block block_of(TokenId first, TokenId second) {
  const TokenId context[] = {first, second};
  return marks::context_of(context, 2);
}

}  // namespace

TEST_CASE("DistillationTest: a student of marked answers shows it, and one of others does not") {
  const Student taught = student_of(ring(), 60), other = student_of(ring(2), 60);
  for (const PairWeights weights :
       {PairWeights::Equal, PairWeights::Log, PairWeights::Reference, PairWeights::MostPowerful}) {
    CAPTURE(static_cast<int>(weights));
    const DistillationResult found = result_for(ring(), taught, weights);
    CHECK(found.log10_p < -10.0);
    CHECK(found.log10_e > 6.0);
    CHECK(found.texts == 40);
    CHECK(found.positions == 40 * 98);
    CHECK(found.scored > 400);
    CHECK(found.decoys.size() == 19);
    CHECK(found.decoy_rank == 1);
    CHECK(found.log10_rank_p == doctest::Approx(std::log10(1.0 / 20.0)));
    CHECK(found.decoys_agree);
    const DistillationResult innocent = result_for(ring(), other, weights);
    CHECK(innocent.log10_p > -3.0);
    CHECK(innocent.log10_e < 2.0);
  }
}

TEST_CASE("DistillationTest: contexts outside the narrow layer do not count") {
  const KeyRing half = ring(1, 32768);
  const Student taught = student_of(half, 60);
  const DistillationResult found = result_for(half, taught, PairWeights::Log);
  CHECK(found.log10_p < -6.0);
  const DistillationResult all = result_for(ring(), taught, PairWeights::Log);
  CHECK(found.positions == all.positions);
  CHECK(found.scored < 0.6 * static_cast<double>(all.scored));
  CHECK(found.scored > 0.4 * static_cast<double>(all.scored));
}

TEST_CASE("DistillationTest: what the prompt goes on from is left out") {
  const KeyRing keys = ring();
  const test::Tokens marked = teacher_answer(Sampler(keys, "p"), 1);
  // A suspect that repeats its prompt.
  DistillationTest copying(keys, "p", {.decoys = 0});
  copying.add_answer(marked, marked);
  CHECK(copying.result().positions == 0);
  CHECK(copying.result().scored == 0);
  CHECK(copying.result().log10_p == 0.0);
  CHECK(copying.result().log10_e == 0.0);
  DistillationTest free(keys, "p", {.decoys = 0});
  free.add_answer({}, marked);
  CHECK(free.result().positions == 98);
  CHECK(free.result().log10_p < -3.0);
  // Half a prompt: the other half counts.
  DistillationTest both(keys, "p", {.decoys = 0});
  both.add_answer(std::span(marked).first(50), marked);
  CHECK(both.result().positions > 30);
  CHECK(both.result().positions <= 50);
}

TEST_CASE("DistillationTest: an open model's predictions say more than its answers") {
  const KeyRing keys = ring();
  const Sampler sampler(keys, "p");
  // What it holds possible after any context: the token that the mark would draw, a little more.
  std::vector<TokenProbability> predictions;
  std::vector<std::span<const TokenProbability>> rows;
  const test::Tokens text = test::random_tokens(200, vocab_size, 3);
  predictions.reserve(400);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t begin = predictions.size();
    if (i >= 2) {
      Sequence sequence =
          sampler.sequence({.seed = 1, .response_so_far = std::span(text).subspan(i - 2, 2)});
      TokenId token = 0;
      REQUIRE(sequence.select(test::Row(vocab_size, 0.0F), {}, token) == ErrorCode::Ok);
      predictions.push_back({token, 0.1});
      predictions.push_back({static_cast<TokenId>((token + 7) % 40), 0.05});
    }
    rows.push_back(std::span(predictions).subspan(begin));
  }
  DistillationTest open(keys, "p", {.decoys = 9});
  open.add_reading(text, rows);
  const DistillationResult found = open.result();
  CHECK(found.log10_p < -10.0);
  CHECK(found.decoy_rank == 1);
  // A context counts once in a text.
  DistillationTest twice(keys, "p", {.decoys = 0});
  test::Tokens repeated = text;
  repeated.insert(repeated.end(), text.begin(), text.end());
  std::vector<std::span<const TokenProbability>> more = rows;
  more.insert(more.end(), rows.begin(), rows.end());
  twice.add_reading(repeated, more);
  CHECK(twice.result().positions <= found.positions + 2);
}

TEST_CASE("DistillationTest: a ledger leaves out what a student cannot know") {
  const KeyRing keys = ring();
  const Ledger ledger(keys, "p", {.contexts = 4000});
  Student student;
  {
    const Sampler sampler(keys, "p", {.ledger = ledger});
    for (std::uint64_t n = 0; n < 10; ++n) student.learn(teacher_answer(sampler, n));
  }
  std::mt19937_64 random(3);
  DistillationTest with(keys, "p", {.decoys = 19, .ledger = ledger}),
      without(keys, "p", {.decoys = 19});
  for (std::uint64_t i = 0; i < 40; ++i) {
    // Much else that it says it has from others.
    for (const auto& text :
         {student.answer(100, random), test::random_tokens(100, vocab_size, i)}) {
      with.add_answer({}, text);
      without.add_answer({}, text);
    }
  }
  const DistillationResult known = with.result(), all = without.result();
  CHECK(known.positions == all.positions);
  CHECK(known.scored < all.scored / 2);
  CHECK(known.scored > 100);
  CHECK(known.log10_e > all.log10_e + 3.0);
  // The key decided what was looked at: e-values hold, ranks mean nothing.
  CHECK(known.log10_p == -known.log10_e);
  CHECK(known.decoy_rank == 1);
  CHECK(known.log10_rank_p == 0.0);
  CHECK(known.decoys_agree);
  CHECK(all.log10_rank_p < 0.0);
}

TEST_CASE("DistillationTest: a served response is read where it was marked, once") {
  const KeyRing keys = ring(1, 40000);
  const test::Tokens text = teacher_answer(Sampler(keys, "p"), 1);
  // A suspect that expects what was served.
  std::vector<TokenProbability> predictions;
  for (const TokenId token : text) predictions.push_back({token, 0.5});
  std::vector<std::span<const TokenProbability>> rows;
  for (const TokenProbability& p : predictions) rows.push_back({&p, 1});
  DistillationTest test(keys, "p", {.decoys = 9});
  test.add_served_reading(text, rows);
  const DistillationResult once = test.result();
  const marks::Countermark1 mark(test::secret(1), {.narrow_units = 40000, .free_prefix = 0});
  marks::Walk walk(mark);
  for (const TokenId token : text) REQUIRE(walk.observe(token) == ErrorCode::Ok);
  const auto places = walk.places();
  const auto narrow = std::count_if(places.begin(), places.end(), [](const marks::Place& place) {
    return place.layer == marks::Layer::Narrow;
  });
  CHECK(once.positions == static_cast<std::size_t>(narrow));
  CHECK(once.scored == once.positions);
  CHECK(once.log10_e > 3.0);
  CHECK(once.log10_p == -once.log10_e);
  CHECK(once.log10_rank_p == 0.0);
  // A row for what came after the last token, unless that context was there before.
  DistillationTest ended(keys, "p", {.decoys = 0});
  std::vector<std::span<const TokenProbability>> and_the_end = rows;
  and_the_end.push_back(rows.front());
  ended.add_served_reading(text, and_the_end);
  CHECK(ended.result().positions ==
        once.positions + (walk.next().layer == marks::Layer::Narrow ? 1U : 0U));
  CHECK(test::thrown_by([&] { ended.add_reading(text, and_the_end); }).code ==
        ErrorCode::SizeMismatch);

  test.add_served_reading(text, rows);
  CHECK(test.result().positions == once.positions);
  CHECK(test.result().log10_p == once.log10_p);
  CHECK(test.result().texts == 2);
}

TEST_CASE("DistillationTest: a sequential test looks at fixed numbers of positions") {
  const Student taught = student_of(ring(), 60);
  DistillationTest sequential(ring(), "p", {.decoys = 0, .sequential = true});
  std::mt19937_64 random(3);
  test::Tokens all;
  std::vector<double> shares;
  for (int i = 0; i < 130; ++i) {
    sequential.add_answer({}, taught.answer(100, random));
    if (sequential.result().looks.empty()) CHECK(sequential.result().log10_p == 0.0);
  }
  const DistillationResult result = sequential.result();
  REQUIRE(result.positions == 130 * 98);
  // At the ends of the texts after 4096, 5792.6, 8192 and 11585.2 positions.
  REQUIRE(result.looks.size() == 4);
  double least = 0.0, mean = 0.0;
  double k = 0.0;
  for (const DistillationLook& look : result.looks) {
    const std::size_t due = DistillationTest::positions_at(static_cast<std::size_t>(k));
    CHECK(due == static_cast<std::size_t>(4096.0 * std::exp2(0.5 * k)));
    CHECK(look.positions >= due);
    CHECK(look.positions < due + 98);
    CHECK(look.share == doctest::Approx(1.0 / ((k + 1.0) * (k + 2.0))));
    least = std::min(least, look.log10_p - std::log10(look.share));
    mean += look.share * std::pow(10.0, look.log10_e);
    ++k;
  }
  CHECK(result.log10_p == least);
  CHECK(result.log10_e == doctest::Approx(std::log10(mean)));
  CHECK(result.looks[3].log10_p < result.looks[0].log10_p);
  CHECK(result.log10_p < -10.0);
}

TEST_CASE("DistillationTest: a long text spends the looks that it jumps over") {
  const Student taught = student_of(ring(), 20);
  DistillationTest sequential(ring(), "p", {.decoys = 0, .sequential = true});
  std::mt19937_64 random(3);
  sequential.add_answer({}, taught.answer(9000, random));
  const DistillationResult result = sequential.result();
  REQUIRE(result.looks.size() == 1);
  CHECK(result.looks[0].share == doctest::Approx(1.0 / 12.0));
  // Without a reference there is nothing to look at yet.
  DistillationTest against(ring(), "p",
                           {.weights = PairWeights::Reference, .decoys = 0, .sequential = true});
  against.add_answer({}, taught.answer(9000, random));
  against.add_reference(taught.answer(100, random));
  CHECK(against.result().looks.empty());
  CHECK(against.result().log10_p == 0.0);
}

TEST_CASE("DistillationTest: logs say from whose responses a student learned") {
  const KeyRing keys = ring();
  const Sampler sampler(keys, "p");
  Student student;
  DistillationTest test(keys, "p", {.decoys = 0});
  for (std::uint64_t n = 0; n < 6; ++n) {
    const std::uint64_t account = n % 3;
    const test::Tokens response = teacher_answer(sampler, n);
    if (account == 1) student.learn(response);
    // Both halves, and the first once more.
    for (const auto& [begin, size] : {std::pair{0, 50}, {48, 52}, {0, 50}}) {
      test.add_log(1000 + account, std::span(response).subspan(static_cast<std::size_t>(begin),
                                                               static_cast<std::size_t>(size)));
    }
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 40; ++i) test.add_answer({}, student.answer(100, random));
  const LearnedAccounts learned = test.learned_accounts();
  CHECK(learned.tested == 3);
  REQUIRE(learned.discovered == 1);
  CHECK(learned.accounts[0].account == 1001);
  CHECK(learned.accounts[0].is_discovered);
  CHECK(learned.log10_e_least == learned.accounts[0].log10_e);
  CHECK(learned.accounts[0].log10_e > 4.0);
  CHECK(learned.accounts[0].contexts > 20);
  CHECK(learned.accounts[0].contexts < 2 * 98);
  CHECK(learned.accounts[0].scored >= learned.accounts[0].contexts);
  for (std::size_t i = 1; i < learned.accounts.size(); ++i) {
    CHECK_FALSE(learned.accounts[i].is_discovered);
    CHECK(learned.accounts[i].log10_e < 2.0);
  }
  // What two accounts were served says nothing of either.
  DistillationTest shared(keys, "p", {.decoys = 0});
  for (const std::uint64_t account : {1, 2}) shared.add_log(account, teacher_answer(sampler, 3));
  for (int i = 0; i < 40; ++i) shared.add_answer({}, student.answer(100, random));
  CHECK(shared.learned_accounts().accounts.empty());
  CHECK(shared.learned_accounts().tested == 2);
  CHECK(test::thrown_by([&] { (void)test.learned_accounts(0.6); }).names("false_discovery_rate"));
  CHECK(test::thrown_by([&] { test.add_log(1, {}); }).code == ErrorCode::EmptyText);
  CHECK(DistillationTest(keys, "p").learned_accounts().discovered == 0);
}

TEST_CASE("DistillationTest: weights are those of the counts") {
  distill::PairTables tables;
  const auto add = [](distill::PairCounts& counts, const keys::Block& context, TokenId token,
                      int times) {
    for (int i = 0; i < times; ++i) {
      counts.add_place(context);
      counts.add(context, token, 1.0);
    }
  };
  add(tables.counts, block_of(1, 2), 3, 3);
  add(tables.counts, block_of(1, 2), 4, 1);
  add(tables.counts, block_of(5, 6), 3, 1);
  CHECK(tables.counts.places_after(block_of(1, 2)) == 4.0);
  const auto kind_of = [](const distill::WeightedPairs& pairs, std::size_t context, TokenId token) {
    for (std::size_t k = pairs.begins[context]; k < pairs.begins[context + 1]; ++k) {
      if (pairs.pairs[k].token == token) return pairs.kinds[pairs.pairs[k].kind];
    }
    return distill::WeightedPairs::Kind{0.0, 0.0};
  };
  const auto weight_of = [&](const distill::WeightedPairs& pairs, std::size_t context,
                             TokenId token) { return kind_of(pairs, context, token).weight; };
  const auto equal = distill::weigh(tables, PairWeights::Equal);
  REQUIRE(equal.kinds.size() == 1);
  CHECK(equal.kinds[0].weight == 1.0);
  CHECK(equal.kinds[0].probability == 0.0);
  CHECK(equal.contexts == std::vector<keys::Block>{block_of(1, 2), block_of(5, 6)});
  CHECK(equal.variance() == 3.0);
  const auto log = distill::weigh(tables, PairWeights::Log);
  CHECK(log.kinds.size() == 2);
  CHECK(weight_of(log, 0, 3) == doctest::Approx(std::log(4.0)).epsilon(1.0 / 128.0));
  CHECK(weight_of(log, 0, 4) == doctest::Approx(std::log(2.0)).epsilon(1.0 / 128.0));
  CHECK(weight_of(log, 0, 4) == weight_of(log, 1, 3));

  // In the reference 4 follows (1, 2) nearly always, and 9 sometimes.
  add(tables.reference, block_of(1, 2), 4, 1800);
  add(tables.reference, block_of(1, 2), 9, 200);
  const auto against = distill::weigh(tables, PairWeights::Reference);
  CHECK(weight_of(against, 0, 3) > 2.9);
  // 1 of 4 where 4 * 0.9 were expected, damped; and none where 0.4 were.
  CHECK(weight_of(against, 0, 4) == doctest::Approx(-2.6 / (1.0 + 0.02 * 3.6)).epsilon(0.02));
  CHECK(weight_of(against, 0, 9) == doctest::Approx(-0.4 / (1.0 + 0.02 * 0.4)).epsilon(0.02));
  const auto powerful = distill::weigh(tables, PairWeights::MostPowerful);
  CHECK(kind_of(powerful, 0, 4).weight == doctest::Approx(weight_of(against, 0, 4)).epsilon(0.04));
  CHECK(kind_of(powerful, 0, 4).probability == doctest::Approx(0.9).epsilon(0.2));
  CHECK(kind_of(powerful, 0, 9).probability == doctest::Approx(0.1).epsilon(0.2));
  // Half of what it shows itself, where nobody else would have.
  CHECK(kind_of(powerful, 0, 3).probability == doctest::Approx(3.0 / 8.0).epsilon(0.2));

  // What another model would have shown goes before texts.
  for (int i = 0; i < 4; ++i) tables.expected.add_place(block_of(1, 2));
  tables.expected.add(block_of(1, 2), 3, 2.0);
  tables.expected.add(block_of(1, 2), 7, 1.5);
  const auto expected = distill::weigh(tables, PairWeights::Reference);
  CHECK(weight_of(expected, 0, 3) == doctest::Approx(1.0 / 1.04).epsilon(0.01));
  CHECK(weight_of(expected, 0, 4) == 1.0);
  CHECK(weight_of(expected, 0, 7) == doctest::Approx(-1.5 / 1.03).epsilon(0.01));
  CHECK(weight_of(expected, 0, 9) == 0.0);
  CHECK(weight_of(expected, 1, 3) == 1.0);
  // No pair weighs more than so much, either way.
  add(tables.counts, block_of(1, 2), 8, 100);
  tables.expected.add(block_of(1, 2), 9, 1e6);
  const auto limited = distill::weigh(tables, PairWeights::Reference);
  CHECK(weight_of(limited, 0, 8) == 30.0);
  CHECK(weight_of(limited, 0, 9) == -30.0);
}

TEST_CASE("DistillationTest: what another model would have said takes popularity away") {
  const KeyRing keys = ring();
  const Sampler sampler(keys, "p");
  // All that the suspect says is popular: one token after each, and sometimes what the mark chose.
  DistillationTest with(keys, "p", {.weights = PairWeights::Reference, .decoys = 0}),
      by_log(keys, "p", {.weights = PairWeights::Log, .decoys = 0});
  std::mt19937_64 random(7);
  for (int n = 0; n < 30; ++n) {
    test::Tokens text = test::random_tokens(2, vocab_size, random());
    std::vector<TokenProbability> predictions;
    predictions.reserve(200);
    std::vector<std::span<const TokenProbability>> rows(2);
    while (text.size() < 100) {
      const auto popular = static_cast<TokenId>((text.back() + 1) % 40);
      Sequence sequence = sampler.sequence({.seed = 1, .response_so_far = std::span(text).last(2)});
      TokenId marked = 0;
      REQUIRE(sequence.select(test::Row(vocab_size, 0.0F), {}, marked) == ErrorCode::Ok);
      text.push_back(random() % 10 < 9 ? popular : marked);
      predictions.push_back({popular, 0.9});
      rows.push_back({&predictions.back(), 1});
    }
    with.add_answer({}, text, Predictions(rows));
    by_log.add_answer({}, text);
  }
  CHECK(with.result().log10_p < -10.0);
  CHECK(with.result().log10_p < by_log.result().log10_p - 3.0);
  const test::Tokens text = {1, 2, 3};
  CHECK(test::thrown_by([&] { with.add_answer({}, text); }).names("either all texts come with"));
  std::vector<std::span<const TokenProbability>> rows(3);
  CHECK(test::thrown_by([&] {
          by_log.add_answer({}, text, Predictions(rows));
        }).names("either all texts come with"));
  rows.resize(2);
  CHECK(test::thrown_by([&] {
          with.add_answer({}, text, Predictions(rows));
        }).names("2 rows of expected"));
}

TEST_CASE("DistillationTest: a student of an engine's marked answers shows it, as of ours") {
  const test::Engine engines[] = {{"vllm/gumbel-1", 1, R"({"context_width": 2})"},
                                  {"sglang/aaronson-dual-1", 2, R"({"context_window": 2})"}};
  for (const test::Engine& engine : engines) {
    const KeyRing keys = test::engine_ring(engine);
    const Student taught = student_of(keys, 60), other = student_of(ring(2), 60);
    for (const PairWeights weights : {PairWeights::Log, PairWeights::MostPowerful}) {
      CAPTURE(std::string(engine.mark));
      CAPTURE(static_cast<int>(weights));
      const DistillationResult found = result_for(keys, taught, weights);
      CHECK(found.log10_p < -10.0);
      CHECK(found.log10_e > 6.0);
      CHECK(found.decoy_rank == 1);
      CHECK(found.decoys_agree);
      const DistillationResult innocent = result_for(keys, other, weights);
      CHECK(innocent.log10_p > -3.0);
      CHECK(innocent.log10_e < 2.0);
    }
    // What is known of where ours marked is not known of it.
    DistillationTest distillation(keys, "p", {.decoys = 0});
    const test::Tokens text = {1, 2, 3};
    const std::vector<std::span<const TokenProbability>> rows(3);
    const auto code_of = [](auto&& call) { return test::thrown_by(call).code; };
    CHECK(code_of([&] { distillation.add_served_reading(text, rows); }) == ErrorCode::UnknownMark);
    CHECK(code_of([&] { distillation.add_log(1, text); }) == ErrorCode::UnknownMark);
    CHECK(code_of([&] { distillation.learned_accounts(); }) == ErrorCode::UnknownMark);
    distillation.add_reading(text, rows);
    CHECK(distillation.positions() == 1);
  }
}

TEST_CASE("DistillationTest: contexts that an engine takes for one are scored once") {
  // SGLang's contexts are 32 bits: among so many there are two alike.
  const KeyRing keys = test::engine_ring({"sglang/aaronson-1", 1, R"({"context_window": 2})"});
  const auto engine = engine_of(keys);
  std::map<std::uint64_t, test::Tokens> contexts;
  test::Tokens one, other;
  for (TokenId n = 0; other.empty() && n < 1'000'000; ++n) {
    const test::Tokens context = {n / 1000, n % 1000};
    const auto [found, is_new] =
        contexts.try_emplace(engine->rests_after(context, {}, {}), context);
    if (!is_new) std::tie(one, other) = std::tie(found->second, context);
  }
  REQUIRE_FALSE(other.empty());
  DistillationTest distillation(keys, "p", {.decoys = 0});
  for (test::Tokens text : {one, other}) {
    text.push_back(7);
    distillation.add_answer({}, text);
  }
  CHECK(distillation.result().positions == 2);
  CHECK(distillation.result().scored == 1);
}

TEST_CASE("DistillationTest: an engine's pairs are scored as its detector scores them") {
  const test::Engine engines[] = {{"vllm/gumbel-1", 1},
                                  {"vllm/gumbel-0", 1},
                                  {"sglang/aaronson-1", 1},
                                  {"sglang/aaronson-dual-1", 2}};
  for (const test::Engine& each : engines) {
    CAPTURE(std::string(each.mark));
    const auto engine = engine_of(test::engine_ring(each));
    // A step, and the rounding of vLLM's float.
    const double tolerance = std::string_view(each.mark).starts_with("vllm") ? 0x1p-23 : 0x1p-32;
    const test::Tokens text = test::random_tokens(200, 1000, 1);
    const std::vector<double> expected = engine->score({}, text).rests;
    for (std::size_t i = engine->width(); i < text.size(); ++i) {
      double rest = 0.0;
      engine->rests_after(std::span(text).subspan(i - engine->width(), engine->width()),
                          std::span(text).subspan(i, 1), {&rest, 1});
      CHECK(std::abs(rest - expected[i]) <= tolerance);
    }
  }
}

TEST_CASE("DistillationTest: asks for a mark that is learned, and for texts of its profile") {
  KeyRing keys = ring();
  keys.import_secret("wide", test::secret_bytes(2), {.purpose = Purpose::Provenance});
  const std::uint64_t engine_key[] = {42};
  keys.import_engine_key("engine", "meta/textseal-1", engine_key);
  keys.import_engine_key("long", "vllm/gumbel-1", engine_key,
                         {.parameters_json = R"({"context_width": 5})"});
  const auto refusal = [&](const char* id, const DistillationOptions& options) {
    return test::thrown_by([&] { DistillationTest(keys, id, options); });
  };
  CHECK(refusal("nobody", {}).code == ErrorCode::UnknownProfile);
  CHECK(refusal("engine", {}).code == ErrorCode::UnknownMark);
  CHECK(refusal("long", {}).names("contexts of 5 tokens"));
  CHECK(refusal("wide", {}).names("no narrow layer"));
  CHECK(refusal("p", {.decoys = 100'001}).names("decoys"));

  DistillationTest distillation(keys, "p", {.weights = PairWeights::Reference});
  const test::Tokens text = {1, 2, 3, 4}, bad = {1, 2, 40};
  const auto thrown = [](auto&& call) { return test::thrown_by(call); };
  CHECK(thrown([&] { distillation.add_answer({}, {}); }).code == ErrorCode::EmptyText);
  CHECK(thrown([&] { distillation.add_answer({}, bad); }).names("token 2 "));
  CHECK(thrown([&] { distillation.add_answer(bad, text); }).names("prompt"));
  CHECK(thrown([&] { distillation.add_reference(bad); }).code == ErrorCode::TokenOutOfRange);
  std::vector<std::span<const TokenProbability>> rows(3);
  CHECK(thrown([&] { distillation.add_reading(text, rows); }).code == ErrorCode::SizeMismatch);
  rows.resize(4);
  const TokenProbability wrong_token[] = {{40, 0.1}}, wrong[] = {{1, 1.5}}, none[] = {{1, NAN}};
  rows[3] = wrong_token;
  CHECK(thrown([&] {
          distillation.add_reading(text, rows);
        }).names("row 3 of predictions has token 40"));
  rows[3] = wrong;
  CHECK(thrown([&] { distillation.add_reading(text, rows); }).code ==
        ErrorCode::InvalidProbability);
  rows[3] = none;
  CHECK(thrown([&] { distillation.add_reading(text, rows); }).code ==
        ErrorCode::InvalidProbability);
  CHECK(thrown([&] { (void)distillation.result(); }).names("add_reference"));
  distillation.add_reference(text);
  const DistillationResult nothing = distillation.result();
  CHECK(nothing.texts == 0);
  CHECK(nothing.log10_p == 0.0);
  CHECK(nothing.decoys == std::vector<double>(99, 0.0));
  CHECK(nothing.decoy_rank == 100);
  CHECK(nothing.decoys_agree);
}
