#include "story/model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace story {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::string_view kFormat = "countermark-story-1";

/// Four floats that the compilers keep in one register of any x86-64 or Arm64 processor.
using Lanes [[gnu::vector_size(16)]] = float;
constexpr std::size_t kLanes = sizeof(Lanes) / sizeof(float);

Lanes load(const float* p) {
  Lanes lanes;
  std::memcpy(&lanes, p, sizeof lanes);
  return lanes;
}

void store(Lanes lanes, float* p) { std::memcpy(p, &lanes, sizeof lanes); }

/// y += a x, for a multiple of kLanes floats.
void add_scaled(float a, const float* x, float* y, std::size_t size) {
  for (std::size_t i = 0; i < size; i += kLanes) store(load(y + i) + a * load(x + i), y + i);
}

/// A weight matrix in tiles of kTile rows, each stored column by column: a product keeps the sums
/// of a tile in registers, reads the weights in order and adds up every row one by one.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t cols, std::span<const std::int8_t> values,
         std::span<const float> scales)
      : rows_(rows), cols_(cols), tiles_((rows + kTile - 1) / kTile * kTile * cols) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        tiles_[index(r, c)] = static_cast<float>(values[r * cols + c]) * scales[r];
      }
    }
  }

  /// Copies one row to `out`.
  void row(std::size_t r, float* out) const {
    for (std::size_t c = 0; c < cols_; ++c) out[c] = tiles_[index(r, c)];
  }

  /// y[b, r] = Σ_c weight[r, c] x[b, c] for each of `batch` rows b.
  void multiply(const float* x, float* y, std::size_t batch) const {
    for (std::size_t r = 0; r < rows_; r += kTile) {
      for (std::size_t b = 0; b < batch; b += 4) {
        const float* in = x + b * cols_;
        float* out = y + b * rows_;
        switch (batch - b) {
          case 1:
            multiply_tile<1>(r, in, out);
            break;
          case 2:
            multiply_tile<2>(r, in, out);
            break;
          case 3:
            multiply_tile<3>(r, in, out);
            break;
          default:
            multiply_tile<4>(r, in, out);
        }
      }
    }
  }

 private:
  static constexpr std::size_t kTile = 4 * kLanes;

  std::size_t index(std::size_t r, std::size_t c) const {
    return (r / kTile * cols_ + c) * kTile + r % kTile;
  }

  /// The batch rows share each load of the weights.
  template <std::size_t Batch>
  void multiply_tile(std::size_t first_row, const float* x, float* y) const {
    Lanes sums[Batch][kTile / kLanes] = {};
    const float* weights = &tiles_[first_row * cols_];
    for (std::size_t c = 0; c < cols_; ++c, weights += kTile) {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kTile / kLanes; ++i) {
        const Lanes weight = load(weights + i * kLanes);
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Batch; ++b) sums[b][i] += weight * x[b * cols_ + c];
      }
    }
    const std::size_t lanes = std::min(kTile, rows_ - first_row);
    for (std::size_t b = 0; b < Batch; ++b) {
      std::memcpy(y + b * rows_ + first_row, sums[b], lanes * sizeof(float));
    }
  }

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::vector<float> tiles_;
};

void rms_norm(const float* x, const std::vector<float>& weight, float epsilon, float* y) {
  float squares = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) squares += x[i] * x[i];
  const float scale = 1 / std::sqrt(squares / static_cast<float>(weight.size()) + epsilon);
  for (std::size_t i = 0; i < weight.size(); ++i) y[i] = x[i] * scale * weight[i];
}

/// Reads one file of int8 and float32 tensors; all errors name the file.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path) : path_(path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot be opened");
    data_.assign(std::istreambuf_iterator<char>(file), {});
    std::uint64_t length = 0;
    if (data_.size() < sizeof length) fail("truncated: no header length");
    std::memcpy(&length, data_.data(), sizeof length);
    data_.erase(0, sizeof length);
    if (length > data_.size()) fail("truncated or not safetensors: header beyond the end");
    header_ = nlohmann::json::parse(data_.substr(0, length), nullptr, false);
    data_.erase(0, length);
    if (!header_.is_object()) fail("not safetensors: the header is no JSON object");
    if (metadata("format") != kFormat) fail("not a " + std::string(kFormat) + " file");
  }

  std::size_t size(const std::string& key) const {
    const nlohmann::json value = nlohmann::json::parse(metadata(key), nullptr, false);
    constexpr std::size_t kLimit = 1U << 20;
    if (!value.is_number_unsigned() || value == 0 || value > kLimit) fail_metadata(key);
    return value.get<std::size_t>();
  }

  double real(const std::string& key) const {
    const nlohmann::json value = nlohmann::json::parse(metadata(key), nullptr, false);
    if (!value.is_number() || value <= 0) fail_metadata(key);
    return value.get<double>();
  }

  std::vector<float> vector(const std::string& name, std::size_t size) const {
    return tensor<float>(name, "F32", {size});
  }

  Matrix matrix(const std::string& name, std::size_t rows, std::size_t cols) const {
    return {rows, cols, tensor<std::int8_t>(name, "I8", {rows, cols}),
            vector(name + ".scale", rows)};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(path_.string() + ": " + what);
  }

 private:
  std::string metadata(const std::string& key) const {
    const auto table = header_.find("__metadata__");
    if (table == header_.end() || !table->is_object()) fail("no __metadata__");
    const auto value = table->find(key);
    if (value == table->end() || !value->is_string()) fail("no " + key + " in __metadata__");
    return value->get<std::string>();
  }

  [[noreturn]] void fail_metadata(const std::string& key) const {
    fail("bad " + key + " in __metadata__: " + metadata(key));
  }

  template <typename T>
  std::vector<T> tensor(const std::string& name, const std::string& dtype,
                        const std::vector<std::size_t>& shape) const {
    const auto entry = header_.find(name);
    if (entry == header_.end() || !entry->is_object()) fail("no tensor " + name);
    if (entry->value("dtype", nlohmann::json()) != dtype) fail(name + " is not " + dtype);
    if (entry->value("shape", nlohmann::json()) != shape) fail(name + " has the wrong shape");
    std::size_t size = 1;
    for (const std::size_t n : shape) size *= n;
    const auto offsets = entry->value("data_offsets", nlohmann::json());
    const bool two = offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                     offsets[1].is_number_unsigned();
    if (!two) fail(name + " has no data_offsets");
    const auto begin = offsets[0].get<std::size_t>();
    const auto end = offsets[1].get<std::size_t>();
    if (end < begin || end - begin != size * sizeof(T)) fail(name + " has bad data_offsets");
    if (end > data_.size()) fail("truncated: " + name + " lies beyond the end");
    std::vector<T> values(size);
    std::memcpy(values.data(), data_.data() + begin, end - begin);
    return values;
  }

  std::filesystem::path path_;
  nlohmann::json header_;
  std::string data_;
};

struct Layer {
  std::vector<float> attn_norm;
  Matrix qkv;
  Matrix out;
  std::vector<float> mlp_norm;
  Matrix gate_up;
  Matrix down;
};

}  // namespace

struct Model::Impl {
  explicit Impl(const SafetensorsReader& file)
      : vocab_size(file.size("vocab_size")),
        dim(file.size("dim")),
        heads(file.size("heads")),
        kv_heads(file.size("kv_heads")),
        head_dim(dim / heads),
        hidden(file.size("hidden")),
        context(file.size("context")),
        bos(file.size("bos")),
        eos(file.size("eos")),
        norm_eps(static_cast<float>(file.real("norm_eps"))) {
    if (dim % heads != 0 || heads % kv_heads != 0 || head_dim % kLanes != 0 ||
        context % kLanes != 0 || bos >= vocab_size || eos >= vocab_size) {
      file.fail("__metadata__ describes no model");
    }
    const double theta = file.real("rope_theta");
    for (std::size_t i = 0; i < head_dim; i += 2) {
      frequencies.push_back(
          std::pow(theta, -static_cast<double>(i) / static_cast<double>(head_dim)));
    }
    embed = file.matrix("embed", vocab_size, dim);
    norm = file.vector("norm", dim);
    for (std::size_t i = 0, count = file.size("layers"); i < count; ++i) {
      const std::string prefix = "blocks." + std::to_string(i) + ".";
      layers.push_back({
          .attn_norm = file.vector(prefix + "attn_norm", dim),
          .qkv = file.matrix(prefix + "qkv", (heads + 2 * kv_heads) * head_dim, dim),
          .out = file.matrix(prefix + "out", dim, dim),
          .mlp_norm = file.vector(prefix + "mlp_norm", dim),
          .gate_up = file.matrix(prefix + "gate_up", 2 * hidden, dim),
          .down = file.matrix(prefix + "down", dim, hidden),
      });
    }
  }

  std::size_t vocab_size;
  std::size_t dim;
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t head_dim;
  std::size_t hidden;
  std::size_t context;
  std::size_t bos;
  std::size_t eos;
  float norm_eps;
  std::vector<double> frequencies;
  Matrix embed;
  std::vector<float> norm;
  std::vector<Layer> layers;
};

Model Model::load(const std::filesystem::path& safetensors) {
  return Model(std::make_shared<const Impl>(SafetensorsReader(safetensors)));
}

std::int32_t Model::vocab_size() const { return static_cast<std::int32_t>(impl_->vocab_size); }
std::int32_t Model::context() const { return static_cast<std::int32_t>(impl_->context); }
std::int32_t Model::bos() const { return static_cast<std::int32_t>(impl_->bos); }
std::int32_t Model::eos() const { return static_cast<std::int32_t>(impl_->eos); }

Sequence::Sequence(const Model& model)
    : impl_(model.impl_),
      keys_(impl_->layers.size() * impl_->kv_heads * impl_->head_dim * impl_->context),
      values_(keys_.size()) {}

/// One pass of a batch through the layers.
class Step {
 public:
  Step(const Model& model, std::span<Sequence* const> sequences)
      : m_(*model.impl_),
        sequences_(sequences),
        batch_(sequences.size()),
        x_(batch_ * m_.dim),
        normed_(batch_ * m_.dim),
        qkv_(batch_ * (m_.heads + 2 * m_.kv_heads) * m_.head_dim),
        attended_(batch_ * m_.dim),
        projected_(batch_ * m_.dim),
        gate_up_(batch_ * 2 * m_.hidden),
        hidden_(batch_ * m_.hidden),
        scores_(m_.context) {}

  void run(std::span<const std::int32_t> tokens, std::span<float> logits) {
    check(tokens, logits);
    for (std::size_t b = 0; b < batch_; ++b) {
      m_.embed.row(static_cast<std::size_t>(tokens[b]), &x_[b * m_.dim]);
    }
    for (std::size_t i = 0; i < m_.layers.size(); ++i) {
      const Layer& layer = m_.layers[i];
      norm(layer.attn_norm);
      layer.qkv.multiply(normed_.data(), qkv_.data(), batch_);
      for (std::size_t b = 0; b < batch_; ++b) attend(i, b);
      layer.out.multiply(attended_.data(), projected_.data(), batch_);
      add_projected();
      norm(layer.mlp_norm);
      layer.gate_up.multiply(normed_.data(), gate_up_.data(), batch_);
      for (std::size_t b = 0; b < batch_; ++b) activate(b);
      layer.down.multiply(hidden_.data(), projected_.data(), batch_);
      add_projected();
    }
    norm(m_.norm);
    m_.embed.multiply(normed_.data(), logits.data(), batch_);
    for (Sequence* sequence : sequences_) ++sequence->size_;
  }

 private:
  void check(std::span<const std::int32_t> tokens, std::span<const float> logits) const {
    if (tokens.size() != batch_ || logits.size() != batch_ * m_.vocab_size) {
      throw std::invalid_argument("story::step: tokens or logits do not match the batch");
    }
    for (std::size_t b = 0; b < batch_; ++b) {
      if (sequences_[b] == nullptr || sequences_[b]->impl_.get() != &m_) {
        throw std::invalid_argument("story::step: a sequence was made for another model");
      }
      if (tokens[b] < 0 || static_cast<std::size_t>(tokens[b]) >= m_.vocab_size) {
        throw std::invalid_argument("story::step: token " + std::to_string(tokens[b]) +
                                    " is outside the vocabulary");
      }
    }
  }

  void norm(const std::vector<float>& weight) {
    for (std::size_t b = 0; b < batch_; ++b) {
      rms_norm(&x_[b * m_.dim], weight, m_.norm_eps, &normed_[b * m_.dim]);
    }
  }

  void add_projected() {
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] += projected_[i];
  }

  void activate(std::size_t b) {
    const float* gate = &gate_up_[b * 2 * m_.hidden];
    const float* up = gate + m_.hidden;
    float* out = &hidden_[b * m_.hidden];
    for (std::size_t i = 0; i < m_.hidden; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
  }

  /// Attention looks only at differences of positions, so keys are rotated by their true position
  /// and the cache is a ring: a new token takes the slot of the one that leaves the window.
  void attend(std::size_t layer, std::size_t b) {
    Sequence& sequence = *sequences_[b];
    const std::size_t slot = sequence.size_ % m_.context;
    const std::size_t used = std::min(sequence.size_ + 1, m_.context);
    float* query = &qkv_[b * (m_.heads + 2 * m_.kv_heads) * m_.head_dim];
    float* key = query + m_.dim;
    const float* value = key + m_.kv_heads * m_.head_dim;
    rotate(query, m_.heads + m_.kv_heads, static_cast<double>(sequence.size_));

    const std::size_t group = m_.heads / m_.kv_heads;
    for (std::size_t h = 0; h < m_.kv_heads; ++h) {
      const std::size_t block = (layer * m_.kv_heads + h) * m_.head_dim * m_.context;
      float* keys = &sequence.keys_[block];
      float* values = &sequence.values_[block];
      for (std::size_t d = 0; d < m_.head_dim; ++d) {
        keys[d * m_.context + slot] = key[h * m_.head_dim + d];
        values[slot * m_.head_dim + d] = value[h * m_.head_dim + d];
      }
      for (std::size_t q = h * group; q < (h + 1) * group; ++q) {
        attend_head(query + q * m_.head_dim, keys, values, used,
                    &attended_[b * m_.dim + q * m_.head_dim]);
      }
    }
  }

  void attend_head(const float* query, const float* keys, const float* values, std::size_t used,
                   float* out) {
    const float scale = 1 / std::sqrt(static_cast<float>(m_.head_dim));
    float* scores = scores_.data();
    const std::size_t padded = (used + kLanes - 1) / kLanes * kLanes;
    std::fill_n(scores, padded, 0.0F);
    for (std::size_t d = 0; d < m_.head_dim; ++d) {
      add_scaled(query[d] * scale, keys + d * m_.context, scores, padded);
    }
    const float top = *std::max_element(scores, scores + used);
    float sum = 0;
    for (std::size_t s = 0; s < used; ++s) {
      scores[s] = std::exp(scores[s] - top);
      sum += scores[s];
    }
    std::fill_n(out, m_.head_dim, 0.0F);
    for (std::size_t s = 0; s < used; ++s) {
      add_scaled(scores[s] / sum, values + s * m_.head_dim, out, m_.head_dim);
    }
  }

  /// RoPE on neighbouring heads; in double, so that positions may grow without bound.
  void rotate(float* heads, std::size_t count, double position) const {
    const std::size_t half = m_.head_dim / 2;
    for (std::size_t d = 0; d < half; ++d) {
      const auto cos = static_cast<float>(std::cos(position * m_.frequencies[d]));
      const auto sin = static_cast<float>(std::sin(position * m_.frequencies[d]));
      for (std::size_t h = 0; h < count; ++h) {
        float& a = heads[h * m_.head_dim + d];
        float& b = heads[h * m_.head_dim + d + half];
        std::tie(a, b) = std::pair(a * cos - b * sin, b * cos + a * sin);
      }
    }
  }

  const Model::Impl& m_;
  std::span<Sequence* const> sequences_;
  std::size_t batch_;
  std::vector<float> x_;
  std::vector<float> normed_;
  std::vector<float> qkv_;
  std::vector<float> attended_;
  std::vector<float> projected_;
  std::vector<float> gate_up_;
  std::vector<float> hidden_;
  std::vector<float> scores_;
};

void step(const Model& model, std::span<Sequence* const> sequences,
          std::span<const std::int32_t> tokens, std::span<float> logits) {
  Step(model, sequences).run(tokens, logits);
}

}  // namespace story
