// What the headers call thread-safe, shared by many threads: run under the preset tsan.
#include <doctest/doctest.h>

#include <span>
#include <thread>
#include <vector>

#include "support.h"

using namespace countermark;

namespace {

constexpr std::size_t vocab_size = 50;
constexpr std::size_t thread_count = 8;

/// Runs `work(i)` in thread i, all at once.
template <typename Work>
void in_threads(Work&& work) {
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < thread_count; ++i) threads.emplace_back([&work, i] { work(i); });
}

}  // namespace

TEST_CASE("Sampler and Detector: many threads share one of each, and get what one thread gets") {
  const KeyRing ring = test::ring_of(test::account_options(vocab_size));
  const Sampler sampler(ring, "p");
  const Detector detector(ring);
  std::vector<test::Tokens> expected(thread_count), actual(thread_count);
  std::vector<Detection> detections(thread_count);
  std::vector<AccountScore> scores(thread_count);
  for (std::size_t i = 0; i < thread_count; ++i) {
    expected[i] = test::marked_tokens(sampler, 60, vocab_size, {.account = i, .seed = i});
  }
  in_threads([&](std::size_t i) {
    actual[i] = test::marked_tokens(sampler, 60, vocab_size, {.account = i, .seed = i});
    detections[i] = detector.detect(actual[i]);
    scores[i] = detector.score_account(actual[i], "p", i);
  });
  for (std::size_t i = 0; i < thread_count; ++i) {
    CHECK(actual[i] == expected[i]);
    CHECK(detections[i].log10_p == detector.detect(expected[i]).log10_p);
    CHECK(scores[i].score == detector.score_account(expected[i], "p", i).score);
  }
}

TEST_CASE("KeyRing: const access and copies from many threads agree") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  std::vector<std::string> json(thread_count);
  in_threads([&](std::size_t i) {
    KeyRing copy = ring;
    const Sampler sampler(copy, "p");
    copy.retire("p");
    json[i] = ring.profile("p").to_json() + sampler.profile().to_json();
  });
  for (const std::string& text : json) CHECK(text == json[0]);
}

TEST_CASE("Sequence: one a thread, forked from one that no thread moves") {
  const Sequence parent =
      test::sampler_of(test::marked_options(vocab_size))
          .sequence({.response_so_far = test::random_tokens(20, vocab_size, 1)});
  std::vector<test::Tokens> tokens(thread_count);
  in_threads([&](std::size_t i) {
    Sequence sequence = parent.fork(7);
    for (std::size_t step = 0; step < 40; ++step) {
      TokenId token = -1;
      if (sequence.sample(test::random_row(vocab_size, step), {}, token) != ErrorCode::Ok) return;
    }
    tokens[i].assign(sequence.tokens().begin(), sequence.tokens().end());
  });
  for (const test::Tokens& each : tokens) {
    CHECK(each.size() == 60);
    CHECK(each == tokens[0]);
  }
}

TEST_CASE("identify: threads of its own change nothing") {
  const std::uint64_t key[] = {42};
  const test::Tokens text = test::random_tokens(60, vocab_size, 1);
  const EngineText texts[] = {{text}};
  const auto single = identify(texts, key, {.threads = 1});
  const auto many = identify(texts, key, {.threads = 4});
  REQUIRE(many.size() == single.size());
  for (std::size_t i = 0; i < many.size(); ++i) CHECK(many[i].log10_p == single[i].log10_p);
}

TEST_CASE("Detector::detect_many: threads of its own change nothing") {
  const KeyRing ring = test::ring_of(test::marked_options(vocab_size));
  const Detector detector(ring);
  std::vector<test::Tokens> texts;
  for (std::size_t i = 0; i < 40; ++i) {
    texts.push_back(test::random_tokens(30 + i, vocab_size, i));
  }
  const std::vector<std::span<const TokenId>> views(texts.begin(), texts.end());
  const auto single = detector.detect_many(views, Start::Both, 1);
  for (const unsigned threads : {0U, 2U, 7U, 1000U}) {
    const auto many = detector.detect_many(views, Start::Both, threads);
    REQUIRE(many.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) CHECK(many[i].log10_p == single[i].log10_p);
  }
}
