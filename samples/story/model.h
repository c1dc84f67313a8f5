#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

/// A small language model that the samples can run without any inference library.
///
/// A Llama-like transformer (RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embeddings) that
/// `tools/make_story_model.py` trained on short stories. One thread, plain loops, float32.
namespace story {

/// Weights and shape. Immutable, safe to share between threads, cheap to copy.
class Model {
 public:
  /// Reads a safetensors file of `tools/make_story_model.py`; int8 rows are expanded to float32.
  /// Throws std::runtime_error that names the file and what is wrong with it.
  static Model load(const std::filesystem::path& safetensors);

  std::int32_t vocab_size() const;
  /// How many of the latest tokens a prediction can see.
  std::int32_t context() const;
  /// The token that a response starts with.
  std::int32_t bos() const;
  /// The token that ends a story.
  std::int32_t eos() const;

 private:
  friend class Sequence;
  friend class Step;
  struct Impl;
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

/// The key-value cache of one response. A copy continues on its own.
class Sequence {
 public:
  explicit Sequence(const Model& model);

  /// Tokens so far, including those that have left the window.
  std::size_t size() const { return size_; }

 private:
  friend class Step;

  std::shared_ptr<const Model::Impl> impl_;
  std::size_t size_ = 0;
  std::vector<float> keys_;    // layer, head, dimension, slot
  std::vector<float> values_;  // layer, head, slot, dimension
};

/// Appends `tokens[b]` to `sequences[b]` and writes the logits of the token after it to row `b` of
/// `logits`, which holds batch * vocab_size() floats. A row does not depend on the rest of the
/// batch, not even in its last bit. Beyond context() the oldest tokens fall out of the window.
///
/// The sequences must be distinct and made for this model. Throws std::invalid_argument, with
/// nothing changed, for one made for another model, a token outside the vocabulary or spans of the
/// wrong size.
void step(const Model& model, std::span<Sequence* const> sequences,
          std::span<const std::int32_t> tokens, std::span<float> logits);

}  // namespace story
