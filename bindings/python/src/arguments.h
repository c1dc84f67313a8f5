// What the parts of the extension module share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <span>
#include <sstream>
#include <string>

#include "buffers.h"
#include "countermark/countermark.h"

namespace countermark::python {

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

inline Start start_of(const std::optional<std::string>& start) {
  if (!start) return Start::Both;
  if (*start == "unknown") return Start::Unknown;
  if (*start == "response") return Start::Response;
  throw Error(ErrorCode::InvalidOption,
              text("start must be \"unknown\", \"response\" or None (both), got \"", *start, "\""));
}

inline std::string start_name(Start start) {
  return start == Start::Response ? "response" : "unknown";
}

inline py::array_t<double> as_doubles(std::span<const double> values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

/// What a language model says of a text, asked through countermark.models.
class KnownProxy {
 public:
  KnownProxy(const py::object& proxy, const TokenIds& ids) {
    const py::tuple known =
        py::module_::import("countermark.models").attr("probabilities_of")(proxy, ids.array());
    probabilities_ = known[0].cast<py::array_t<double, py::array::c_style>>();
    entropy_bits_ = known[1].cast<std::optional<double>>();
  }

  Proxy proxy() const {
    return {{probabilities_.data(), static_cast<std::size_t>(probabilities_.size())},
            entropy_bits_};
  }

 private:
  py::array_t<double, py::array::c_style> probabilities_;
  std::optional<double> entropy_bits_;
};

/// What belongs to one call at a time, and whether one is inside: the GIL is released there, and a
/// progress may call back.
template <typename T>
struct OneAtATime {
  T inner;
  const char* name;
  bool busy = false;

  /// Holds it for the length of one call. Made and destroyed with the GIL.
  class Use {
   public:
    explicit Use(OneAtATime& whole) : whole_(whole) {
      if (whole.busy) {
        throw Error(ErrorCode::RepeatedSequence, text("the ", whole.name,
                                                      " is in use by another call; it belongs to "
                                                      "one at a time"));
      }
      whole.busy = true;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { whole_.busy = false; }

   private:
    OneAtATime& whole_;
  };
};

/// Adds the tracer and what belongs to it.
void bind_tracing(py::module_& m);
/// Adds the test of distillation.
void bind_distillation(py::module_& m);
/// Adds the ledger, which samplers take.
void bind_ledger(py::module_& m);

}  // namespace countermark::python
