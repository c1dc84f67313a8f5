// A decode loop as an inference server has it: a batch with a fixed number of slots, requests that
// wait for one, answers of different lengths, every answer marked for the account that asked.
// Afterwards each text is checked as an analyst would, from the text alone.
//
//   decode_loop STORY_DATA_FOLDER [ANSWERS [SLOTS]]
#include <sentencepiece_processor.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "countermark/countermark.h"
#include "story/model.h"

namespace {

constexpr std::size_t max_tokens = 400;
constexpr countermark::SamplingOptions sampling{.temperature = 1.0};

using Tokenizer = sentencepiece::SentencePieceProcessor;

/// What a server keeps of a request: who asked, the model's state and the mark's.
struct Request {
  std::uint64_t account;
  story::Sequence state;
  countermark::Sequence response;
  std::int32_t last_token;  // what the model reads next; the prompt here is the start token alone
};

struct Answer {
  std::uint64_t account;
  std::string text;
  countermark::SequenceStats stats;
};

countermark::TokenizerInfo describe(const Tokenizer& tokenizer) {
  std::vector<std::pair<countermark::TokenId, std::string>> vocabulary;
  vocabulary.reserve(static_cast<std::size_t>(tokenizer.GetPieceSize()));
  for (int id = 0; id < tokenizer.GetPieceSize(); ++id) {
    vocabulary.emplace_back(id, tokenizer.IdToPiece(id));
  }
  return {"countermark-story", tokenizer.GetPieceSize(),
          countermark::tokenizer_fingerprint(vocabulary)};
}

class Server {
 public:
  Server(story::Model model, const Tokenizer& tokenizer, countermark::Sampler sampler,
         std::size_t slots)
      : model_(std::move(model)),
        tokenizer_(tokenizer),
        sampler_(std::move(sampler)),
        slots_(slots) {}

  /// Answers one request for each account, as many at a time as there are slots.
  std::vector<Answer> serve(std::deque<std::uint64_t> accounts) {
    while (!accounts.empty() || !running_.empty()) {
      while (running_.size() < slots_ && !accounts.empty()) {
        running_.push_back(begin(accounts.front()));
        accounts.pop_front();
      }
      step();
    }
    return std::move(answers_);
  }

 private:
  std::unique_ptr<Request> begin(std::uint64_t account) {
    return std::make_unique<Request>(Request{
        account, story::Sequence(model_), sampler_.sequence({.account = account}), model_.bos()});
  }

  /// One token for every running request.
  void step() {
    const auto vocab = static_cast<std::size_t>(model_.vocab_size());
    std::vector<story::Sequence*> states;
    std::vector<std::int32_t> inputs;
    std::vector<countermark::Sequence*> responses;
    for (const auto& request : running_) {
      states.push_back(&request->state);
      inputs.push_back(request->last_token);
      responses.push_back(&request->response);
    }
    std::vector<float> logits(running_.size() * vocab);
    story::step(model_, states, inputs, logits);

    std::vector<countermark::Logits> rows;
    for (std::size_t row = 0; row < running_.size(); ++row) {
      rows.emplace_back(std::span<const float>(logits).subspan(row * vocab, vocab));
    }
    std::vector<countermark::TokenId> tokens(running_.size());
    const auto status = sampler_.sample_batch(rows, responses, sampling, tokens);
    if (!status.ok()) {
      throw std::runtime_error("row " + std::to_string(status.row) + ": " +
                               std::string(countermark::error_description(status.code)));
    }

    for (std::size_t row = 0; row < running_.size(); ++row) running_[row]->last_token = tokens[row];
    std::erase_if(running_, [&](const auto& request) { return finish_if_done(*request); });
  }

  bool finish_if_done(const Request& request) {
    const bool ended = request.last_token == model_.eos();
    if (!ended && request.response.size() < max_tokens) return false;
    const auto tokens = request.response.tokens();
    const std::vector<int> ids(tokens.begin(), tokens.end() - (ended ? 1 : 0));
    answers_.push_back({request.account, tokenizer_.DecodeIds(ids), request.response.stats()});
    return true;
  }

  story::Model model_;
  const Tokenizer& tokenizer_;
  countermark::Sampler sampler_;
  std::size_t slots_;
  std::vector<std::unique_ptr<Request>> running_;
  std::vector<Answer> answers_;
};

/// Checks every answer from its text; returns the number that carry the mark.
std::size_t check(const std::vector<Answer>& answers, const Tokenizer& tokenizer,
                  const countermark::Detector& detector) {
  std::size_t found = 0;
  std::printf("%10s %7s %7s %12s %14s %14s  %s\n", "account", "tokens", "marked", "log10 p ours",
              "own account", "another one", "text");
  for (const Answer& answer : answers) {
    const std::vector<int> ids = tokenizer.EncodeAsIds(answer.text);
    const auto detection = detector.detect(ids);
    const auto own = detector.score_account(ids, "prod", answer.account);
    const auto other = detector.score_account(ids, "prod", answer.account + 1);
    found += detection.verdict == countermark::Verdict::Marked;
    std::printf("%10llu %7zu %7zu %12.1f %14.1f %14.1f  %.40s...\n",
                static_cast<unsigned long long>(answer.account), answer.stats.tokens,
                answer.stats.marked, detection.log10_p, own.log10_p, other.log10_p,
                answer.text.c_str());
  }
  return found;
}

int run(const std::filesystem::path& data, std::size_t count, std::size_t slots) {
  Tokenizer tokenizer;
  const auto status = tokenizer.Load((data / "story.model").string());
  if (!status.ok()) throw std::runtime_error(status.ToString());

  // A server opens the provider's key ring: countermark::KeyRing::open("keys.json").
  auto ring = countermark::KeyRing::generate();
  ring.create_profile("prod", {.accounts = true, .tokenizer = describe(tokenizer)});

  std::deque<std::uint64_t> accounts;
  for (std::size_t i = 0; i < count; ++i) accounts.push_back(1000 + 7 * i);
  Server server(story::Model::load(data / "story.safetensors"), tokenizer,
                countermark::Sampler(ring, "prod"), slots);
  const auto start = std::chrono::steady_clock::now();
  const auto answers = server.serve(std::move(accounts));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;

  const countermark::Detector detector(ring, {.false_positive_rate = 1e-4});
  const std::size_t found = check(answers, tokenizer, detector);
  std::printf("%zu of %zu answers carry the mark at a false positive rate of 10^-4\n", found,
              answers.size());
  std::size_t tokens = 0;
  for (const Answer& answer : answers) tokens += answer.stats.tokens;
  std::printf("%zu tokens at %.0f tokens/s, model and mark, on one core with %zu slots\n", tokens,
              static_cast<double>(tokens) / took.count(), slots);
  return answers.size() == count ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: decode_loop STORY_DATA_FOLDER [ANSWERS [SLOTS]]\n");
    return EXIT_FAILURE;
  }
  try {
    return run(argv[1], argc > 2 ? std::stoul(argv[2]) : 32, argc > 3 ? std::stoul(argv[3]) : 16);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "decode_loop: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
