#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "story/model.h"

namespace {

const std::filesystem::path kFile =
    std::filesystem::path(COUNTERMARK_STORY_DATA) / "story.safetensors";

using Logits = std::vector<float>;

Logits feed(const story::Model& model, story::Sequence& sequence,
            std::span<const std::int32_t> tokens) {
  Logits logits(static_cast<std::size_t>(model.vocab_size()));
  story::Sequence* const row[] = {&sequence};
  for (const std::int32_t& token : tokens) story::step(model, row, {&token, 1}, logits);
  return logits;
}

Logits feed(const story::Model& model, std::span<const std::int32_t> tokens) {
  story::Sequence sequence(model);
  return feed(model, sequence, tokens);
}

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

double entropy_bits(std::span<const float> logits) {
  const double norm = log_sum_exp(logits);
  double nats = 0;
  for (const float logit : logits) nats -= std::exp(logit - norm) * (logit - norm);
  return nats / std::log(2.0);
}

/// A sample at temperature 1: the largest logit with Gumbel noise.
std::int32_t draw(std::span<const float> logits, std::mt19937& random) {
  std::extreme_value_distribution<double> gumbel;
  std::int32_t best = 0;
  double top = -1e300;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double score = logits[i] + gumbel(random);
    if (score > top) std::tie(top, best) = std::pair(score, static_cast<std::int32_t>(i));
  }
  return best;
}

/// A file with a random model of one layer, two heads that share their keys, vocabulary 16.
std::string tiny_file(int context) {
  std::string header =
      R"({"__metadata__":{"format":"countermark-story-1","vocab_size":"16","dim":"16",)"
      R"("layers":"1","heads":"2","kv_heads":"1","hidden":"4","rope_theta":"100.0",)"
      R"("norm_eps":"1e-05","bos":"1","eos":"2","context":")" +
      std::to_string(context) + "\"}";
  std::string data;
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, const std::string& dtype, const std::string& shape,
                       const std::string& bytes) {
    header += ",\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape +
              R"(],"data_offsets":[)" + std::to_string(data.size()) + ",";
    data += bytes;
    header += std::to_string(data.size()) + "]}";
  };
  const auto add_vector = [&](const std::string& name, std::size_t size, float value) {
    const std::vector<float> values(size, value);
    std::string bytes(size * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add(name, "F32", std::to_string(size), bytes);
  };
  const auto add_matrix = [&](const std::string& name, std::size_t rows, std::size_t cols) {
    std::string bytes(rows * cols, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 255 - 127);
    add(name, "I8", std::to_string(rows) + "," + std::to_string(cols), bytes);
    add_vector(name + ".scale", rows, 0.003F);
  };
  add_matrix("embed", 16, 16);
  add_vector("norm", 16, 1.0F);
  add_vector("blocks.0.attn_norm", 16, 1.0F);
  add_matrix("blocks.0.qkv", 32, 16);
  add_matrix("blocks.0.out", 16, 16);
  add_vector("blocks.0.mlp_norm", 16, 1.0F);
  add_matrix("blocks.0.gate_up", 8, 16);
  add_matrix("blocks.0.down", 16, 4);
  header += '}';
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

/// Writes `bytes` to a file that lives as long as this object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() /
      ("story_model_test_" + std::to_string(std::random_device()()) + ".safetensors");
};

/// What loading `bytes` complains about, without the file's name; empty if it loads.
std::string complaint(const std::string& bytes) {
  const TemporaryFile file(bytes);
  try {
    story::Model::load(file.path());
    return "";
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    const std::string name = file.path().string() + ": ";
    CHECK(what.starts_with(name));
    return what.substr(std::min(name.size(), what.size()));
  }
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(from.size() == to.size());  // the header's length stays true
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("story model: shape") {
  const story::Model model = story::Model::load(kFile);
  CHECK(model.vocab_size() == 2048);
  CHECK(model.context() == 256);
  CHECK(model.bos() == 1);
  CHECK(model.eos() == 2);
}

TEST_CASE("story model: logits agree with PyTorch") {
  // Printed by `tools/make_story_model.py show` for the prompt "Once upon a time".
  const std::vector<std::int32_t> tokens = {1, 394, 396, 261, 369};
  const std::vector<float> every_97th = {
      -13.11695F, -13.05341F, -13.06252F, -1.19454F, 1.50236F,  -4.41593F, -4.79218F, -2.84151F,
      -3.12214F,  -7.79591F,  -3.98726F,  -5.35785F, -1.56197F, -4.43615F, -0.75724F, -4.3737F,
      -4.2689F,   -5.52033F,  -4.75117F,  1.23425F,  -4.32922F, -5.83058F};
  const Logits logits = feed(story::Model::load(kFile), tokens);
  for (std::size_t i = 0; i < every_97th.size(); ++i) {
    CHECK(logits[97 * i] == doctest::Approx(every_97th[i]).epsilon(0.0005).scale(1));
  }
  CHECK(log_sum_exp(logits) == doctest::Approx(16.39618).epsilon(0.0005));
  CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() == 1996);
}

TEST_CASE("story model: a row does not depend on its batch") {
  const story::Model model = story::Model::load(kFile);
  const auto vocab = static_cast<std::size_t>(model.vocab_size());
  for (const std::size_t batch : {2U, 3U, 4U, 7U}) {
    std::vector<story::Sequence> sequences(batch, story::Sequence(model));
    std::vector<story::Sequence> alone = sequences;
    feed(model, sequences[1], std::vector<std::int32_t>{1, 300, 400});  // rows of unequal length
    feed(model, alone[1], std::vector<std::int32_t>{1, 300, 400});
    std::vector<story::Sequence*> rows;
    for (story::Sequence& sequence : sequences) rows.push_back(&sequence);
    for (std::int32_t i = 0; i < 5; ++i) {
      std::vector<std::int32_t> tokens(batch);
      for (std::size_t b = 0; b < batch; ++b) {
        tokens[b] = 500 + 7 * i + 31 * static_cast<std::int32_t>(b);
      }
      Logits logits(batch * vocab);
      story::step(model, rows, tokens, logits);
      for (std::size_t b = 0; b < batch; ++b) {
        const std::span row = std::span(logits).subspan(b * vocab, vocab);
        const Logits expected = feed(model, alone[b], {&tokens[b], 1});
        CHECK(std::equal(row.begin(), row.end(), expected.begin()));
        CHECK(sequences[b].size() == alone[b].size());
      }
    }
  }
}

TEST_CASE("story model: a copied sequence goes its own way") {
  const story::Model model = story::Model::load(kFile);
  const std::vector<std::int32_t> start = {1, 300}, left = {500}, right = {600}, end = {700};
  story::Sequence sequence(model);
  feed(model, sequence, start);
  story::Sequence copy = sequence;
  feed(model, copy, left);
  CHECK(sequence.size() == 2);
  feed(model, sequence, right);
  const Logits copied = feed(model, copy, end);
  const Logits original = feed(model, sequence, end);
  CHECK(copied == feed(model, std::vector{1, 300, 500, 700}));
  CHECK(original == feed(model, std::vector{1, 300, 600, 700}));
}

TEST_CASE("story model: tokens beyond the context fall out of the window") {
  constexpr int kContext = 8;
  const TemporaryFile file(tiny_file(kContext));
  const story::Model model = story::Model::load(file.path());
  std::mt19937 random(3);
  std::vector<std::int32_t> tokens(50);
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random() % 16);

  // With one layer, keys and values depend on their own token alone: the window is the context.
  const Logits all = feed(model, tokens);
  const Logits window = feed(model, std::span(tokens).last(kContext));
  const Logits less = feed(model, std::span(tokens).last(kContext - 1));
  double apart = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i] == doctest::Approx(window[i]).epsilon(0.0001).scale(1));
    apart = std::max(apart, std::abs(static_cast<double>(all[i]) - less[i]));
  }
  CHECK(apart > 0.01);  // or the comparison above would see nothing
}

TEST_CASE("story model: one to three bits of entropy per token, past the window too") {
  const story::Model model = story::Model::load(kFile);
  const auto vocab = static_cast<std::size_t>(model.vocab_size());
  constexpr std::size_t kBatch = 8;
  std::mt19937 random(5);
  std::vector<story::Sequence> sequences(kBatch, story::Sequence(model));
  std::vector<story::Sequence*> rows;
  for (story::Sequence& sequence : sequences) rows.push_back(&sequence);
  std::vector<std::int32_t> tokens(kBatch, model.bos());
  Logits logits(kBatch * vocab);
  for (const std::string part : {"within", "beyond"}) {
    CAPTURE(part);
    double bits = 0;
    std::size_t count = 0;
    for (int i = 0; i < model.context(); ++i) {
      story::step(model, rows, tokens, logits);
      for (std::size_t b = 0; b < kBatch; ++b) {
        // What follows the end of a story was never learned.
        const bool ended = tokens[b] == model.eos();
        const std::span row = std::span(logits).subspan(b * vocab, vocab);
        tokens[b] = ended ? model.bos() : draw(row, random);
        if (ended) continue;
        bits += entropy_bits(row);
        ++count;
      }
    }
    CHECK(bits / static_cast<double>(count) > 1.0);
    CHECK(bits / static_cast<double>(count) < 3.0);
  }
}

TEST_CASE("story model: clear errors for damaged files") {
  const std::string good = tiny_file(8);
  CHECK(complaint(good) == "");
  CHECK(complaint("") == "truncated: no header length");
  CHECK(complaint(good.substr(0, 100)) == "truncated or not safetensors: header beyond the end");
  CHECK(complaint(good.substr(0, good.size() - 1)) ==
        "truncated: blocks.0.down.scale lies beyond the end");
  CHECK(complaint(replaced(good, "{\"__", "[\"__")) ==
        "not safetensors: the header is no JSON object");
  CHECK(complaint(replaced(good, "metadata", "metadota")) == "no __metadata__");
  CHECK(complaint(replaced(good, "story-1", "story-9")) == "not a countermark-story-1 file");
  CHECK(complaint(replaced(good, "\"hidden\"", "\"hidder\"")) == "no hidden in __metadata__");
  CHECK(complaint(replaced(good, "\"hidden\":\"4\"", "\"hidden\":\"0\"")) ==
        "bad hidden in __metadata__: 0");
  CHECK(complaint(replaced(good, "\"heads\":\"2\"", "\"heads\":\"3\"")) ==
        "__metadata__ describes no model");
  CHECK(complaint(replaced(good, "\"embed\"", "\"embod\"")) == "no tensor embed");
  CHECK(complaint(replaced(good, "I8", "U8")) == "embed is not I8");
  CHECK(complaint(replaced(good, "[16,16]", "[32,16]")) == "embed has the wrong shape");
  CHECK(complaint(replaced(good, "[0,256]", "[0,255]")) == "embed has bad data_offsets");
  CHECK(complaint(replaced(good, "[0,256]", "\"0,256\"")) == "embed has no data_offsets");
  CHECK_THROWS_AS(story::Model::load("no/such/file"), std::runtime_error);
}

TEST_CASE("story model: misuse of step") {
  const TemporaryFile file(tiny_file(8));
  const story::Model model = story::Model::load(file.path());
  const story::Model other = story::Model::load(file.path());
  story::Sequence sequence(model), stranger(other);
  story::Sequence* const row[] = {&sequence};
  story::Sequence* const strange[] = {&stranger};
  story::Sequence* const none[] = {nullptr};
  std::vector<std::int32_t> token = {1};
  Logits logits(16);
  CHECK_THROWS_AS(story::step(model, row, {}, logits), std::invalid_argument);
  CHECK_THROWS_AS(story::step(model, row, token, std::span(logits).first(15)),
                  std::invalid_argument);
  CHECK_THROWS_AS(story::step(model, strange, token, logits), std::invalid_argument);
  CHECK_THROWS_AS(story::step(model, none, token, logits), std::invalid_argument);
  for (const std::int32_t bad : {-1, 16}) {
    token[0] = bad;
    CHECK_THROWS_AS(story::step(model, row, token, logits), std::invalid_argument);
  }
  CHECK(sequence.size() == 0);
  story::step(model, {}, {}, {});  // an empty batch is fine
}
