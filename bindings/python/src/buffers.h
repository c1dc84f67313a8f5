// Views of the caller's arrays: numpy, anything with DLPack on the CPU, lists of token ids.
// Nothing here is copied unless a comment says so. Build views before releasing the GIL, and
// destroy them after taking it back.
#pragma once

#include <dlpack/dlpack.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "countermark/logits.h"
#include "countermark/token.h"

namespace countermark::python {

namespace py = pybind11;

/// Token ids of one text. int32 arrays are viewed, other integers converted.
class TokenIds {
 public:
  /// Throws Error(TokenOutOfRange) naming the position of an id that no int32 can hold, or
  /// Error(InvalidOption) where `object` is no sequence of integers. `what` names the argument.
  TokenIds(py::handle object, const char* what);

  std::span<const TokenId> ids() const noexcept { return ids_; }
  /// A copy for Python.
  py::array_t<TokenId> array() const {
    return py::array_t<TokenId>(static_cast<py::ssize_t>(ids_.size()), ids_.data());
  }

 private:
  py::array array_;
  std::vector<TokenId> converted_;
  std::span<const TokenId> ids_;
};

/// Logits of one row or of a batch, float32, float16 or bfloat16.
class LogitRows {
 public:
  /// `dimensions` is 1 for a row and 2 for a batch. Throws Error(SizeMismatch) or
  /// Error(InvalidOption) saying what the array is and what it should be.
  LogitRows(py::handle object, int dimensions);
  std::span<const Logits> rows() const noexcept { return rows_; }

 private:
  void view_numpy(const py::array& array, int dimensions);
  void view_dlpack(py::handle object, int dimensions);
  void add_rows(const void* data, Logits::Type type, std::span<const std::int64_t> shape,
                std::span<const std::int64_t> strides);

  /// Gives a tensor back to its framework, with the GIL held.
  struct GiveBack {
    void operator()(DLManagedTensor* tensor) const {
      if (tensor->deleter != nullptr) tensor->deleter(tensor);
    }
  };

  py::array array_;
  std::unique_ptr<DLManagedTensor, GiveBack> tensor_;
  std::vector<Logits> rows_;
};

}  // namespace countermark::python
