// The samples' small story model, for the command line and the demo.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "story/model.h"

namespace {

namespace py = pybind11;
using namespace pybind11::literals;

/// Appends a token to each sequence; float32 [batch, vocab].
py::array_t<float> step(const story::Model& model, const std::vector<story::Sequence*>& sequences,
                        const std::vector<std::int32_t>& tokens) {
  if (sequences.size() != tokens.size()) {
    throw std::invalid_argument("step needs one token for each sequence");
  }
  const auto vocab = static_cast<std::size_t>(model.vocab_size());
  py::array_t<float> logits(std::vector<std::size_t>{sequences.size(), vocab});
  const std::span<float> rows(logits.mutable_data(), sequences.size() * vocab);
  const py::gil_scoped_release release;
  story::step(model, sequences, tokens, rows);
  return logits;
}

}  // namespace

PYBIND11_MODULE(_story, m) {
  py::class_<story::Model>(m, "Model")
      .def_static("load", &story::Model::load, "safetensors"_a)
      .def_property_readonly("vocab_size", &story::Model::vocab_size)
      .def_property_readonly("context", &story::Model::context)
      .def_property_readonly("bos", &story::Model::bos)
      .def_property_readonly("eos", &story::Model::eos);
  py::class_<story::Sequence>(m, "Sequence")
      .def(py::init<const story::Model&>(), "model"_a)
      .def("__len__", &story::Sequence::size);
  m.def("step", &step, "model"_a, "sequences"_a, "tokens"_a);
}
