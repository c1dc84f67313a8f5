#include "buffers.h"

#include <array>
#include <limits>
#include <sstream>
#include <string>

#include "countermark/error.h"

namespace countermark::python {
namespace {

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

std::string dtype_name(const py::dtype& dtype) { return py::str(dtype.attr("name")); }

Logits::Type logits_type(const py::dtype& dtype) {
  // By kind and size first: a name is made anew at every call.
  if (dtype.kind() == 'f' && dtype.itemsize() == 4) return Logits::Type::Float32;
  if (dtype.kind() == 'f' && dtype.itemsize() == 2) return Logits::Type::Float16;
  const std::string name = dtype_name(dtype);
  if (name == "bfloat16") return Logits::Type::BFloat16;  // of the package ml_dtypes
  fail(ErrorCode::InvalidOption, "logits must be float32, float16 or bfloat16, got ", name);
}

void require_dimensions(std::size_t found, int wanted) {
  if (found == static_cast<std::size_t>(wanted)) return;
  fail(ErrorCode::SizeMismatch, "logits must have ", wanted,
       wanted == 1 ? " dimension [vocab]" : " dimensions [batch, vocab]", ", got ", found);
}

}  // namespace

TokenIds::TokenIds(py::handle object, const char* what) {
  array_ = py::array::ensure(py::reinterpret_borrow<py::object>(object));
  if (!array_ || array_.ndim() != 1) {
    PyErr_Clear();
    fail(ErrorCode::InvalidOption, what, " must be a sequence of token ids in one dimension");
  }
  if (array_.size() == 0) return;
  const char kind = array_.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    fail(ErrorCode::InvalidOption, what, " must be integers, got ", dtype_name(array_.dtype()));
  }
  using Same = py::array_t<TokenId, py::array::c_style>;
  const bool aligned = reinterpret_cast<std::uintptr_t>(array_.data()) % alignof(TokenId) == 0;
  if (aligned && py::isinstance<Same>(array_)) {
    ids_ = {static_cast<const TokenId*>(array_.data()), static_cast<std::size_t>(array_.size())};
    return;
  }
  const auto wide = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>(array_);
  converted_.reserve(static_cast<std::size_t>(wide.size()));
  for (py::ssize_t i = 0; i < wide.size(); ++i) {
    const std::int64_t id = wide.data()[i];
    if (id < std::numeric_limits<TokenId>::min() || id > std::numeric_limits<TokenId>::max()) {
      fail(ErrorCode::TokenOutOfRange, what, "[", i, "] is ", id, ", which is no token id");
    }
    converted_.push_back(static_cast<TokenId>(id));
  }
  ids_ = converted_;
}

LogitRows::LogitRows(py::handle object, int dimensions) {
  if (py::isinstance<py::array>(object)) {
    view_numpy(py::reinterpret_borrow<py::array>(object), dimensions);
  } else if (py::hasattr(object, "__dlpack__")) {
    view_dlpack(object, dimensions);
  } else {
    fail(ErrorCode::InvalidOption,
         "logits must be a numpy array, or a CPU tensor with __dlpack__ (torch and others), got ",
         std::string(py::str(py::type::of(object).attr("__name__"))));
  }
}

void LogitRows::view_numpy(const py::array& array, int dimensions) {
  require_dimensions(static_cast<std::size_t>(array.ndim()), dimensions);
  const py::dtype dtype = array.dtype();
  const Logits::Type type = logits_type(dtype);
  // '=' and '|' are the machine's own byte order.
  if (dtype.byteorder() != '=' && dtype.byteorder() != '|') {
    fail(ErrorCode::InvalidOption, "logits must be in the machine's byte order");
  }
  array_ = array;
  std::array<std::int64_t, 2> shape = {1, 1}, strides = {0, 0};
  for (int i = 0; i < dimensions; ++i) {
    const auto at = static_cast<std::size_t>(2 - dimensions + i);
    shape[at] = array.shape(i);
    if (array.strides(i) % array.itemsize() != 0) {
      fail(ErrorCode::InvalidOption, "logits must be aligned");
    }
    strides[at] = array.strides(i) / array.itemsize();
  }
  add_rows(array.data(), type, shape, strides);
}

void LogitRows::view_dlpack(py::handle object, int dimensions) {
  const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  if (device.first != kDLCPU) {
    fail(ErrorCode::InvalidOption,
         "logits must be on the CPU (DLPack device type 1), got device type ", device.first,
         "; copy them, or draw on the device from placements()");
  }
  py::object capsule;
  try {
    capsule = object.attr("__dlpack__")();
  } catch (const py::error_already_set& error) {  // a tensor that requires grad, among others
    fail(ErrorCode::InvalidOption, "logits cannot be read through DLPack: ", error.what());
  }
  tensor_.reset(static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor")));
  if (!tensor_) throw py::error_already_set();
  // The renamed capsule says that the tensor is ours to give back.
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");

  const DLTensor& view = tensor_->dl_tensor;
  const auto given = static_cast<std::size_t>(view.ndim);
  require_dimensions(given, dimensions);
  const DLDataType dtype = view.dtype;
  Logits::Type type = Logits::Type::Float32;
  if (dtype.code == kDLFloat && dtype.bits == 16) {
    type = Logits::Type::Float16;
  } else if (dtype.code == kDLBfloat && dtype.bits == 16) {
    type = Logits::Type::BFloat16;
  } else if (!(dtype.code == kDLFloat && dtype.bits == 32)) {
    fail(ErrorCode::InvalidOption, "logits must be float32, float16 or bfloat16, got DLPack type (",
         int{dtype.code}, ", ", int{dtype.bits}, " bits)");
  }
  std::array<std::int64_t, 2> shape = {1, 1}, strides = {0, 0};
  for (std::size_t i = 0; i < given; ++i) shape[2 - given + i] = view.shape[i];
  // No strides means a compact row-major tensor.
  strides = {shape[1], 1};
  for (std::size_t i = 0; view.strides != nullptr && i < given; ++i) {
    strides[2 - given + i] = view.strides[i];
  }
  add_rows(static_cast<const std::byte*>(view.data) + view.byte_offset, type, shape, strides);
}

void LogitRows::add_rows(const void* data, Logits::Type type, std::span<const std::int64_t> shape,
                         std::span<const std::int64_t> strides) {
  if (shape[1] > 1 && strides[1] != 1) {
    fail(ErrorCode::InvalidOption, "each row of logits must be contiguous, got a stride of ",
         strides[1], " values; make a contiguous copy");
  }
  const std::int64_t item = type == Logits::Type::Float32 ? 4 : 2;
  if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(item) != 0) {
    fail(ErrorCode::InvalidOption, "logits must be aligned; make a copy");
  }
  for (std::int64_t row = 0; row < shape[0]; ++row) {
    rows_.emplace_back(static_cast<const std::byte*>(data) + row * strides[0] * item,
                       static_cast<std::size_t>(shape[1]), type);
  }
}

}  // namespace countermark::python
