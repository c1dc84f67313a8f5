// Accounts: the tracer, the screening, the index, the plan.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arguments.h"
#include "buffers.h"
#include "countermark/countermark.h"

namespace countermark::python {
namespace {

using namespace pybind11::literals;

/// Ids of accounts: a uint64 array is viewed, other integers are converted.
class AccountIds {
 public:
  explicit AccountIds(py::handle object) {
    if (py::isinstance<py::array>(object)) {
      view(py::reinterpret_borrow<py::array>(object));
    } else {
      convert(object);
    }
  }

  std::span<const std::uint64_t> ids() const noexcept { return ids_; }

 private:
  using Array = py::array_t<std::uint64_t, py::array::c_style>;

  void view(const py::array& array) {
    const char kind = array.dtype().kind();
    if ((kind != 'u' && kind != 'i') || array.ndim() != 1) {
      throw Error(ErrorCode::InvalidOption,
                  text("accounts must be a one-dimensional array of uint64, got ",
                       std::string(py::str(array.dtype())), " of ", array.ndim(), " dimensions"));
    }
    if (kind == 'i' && array.size() > 0 && array.attr("min")().cast<std::int64_t>() < 0) {
      throw Error(ErrorCode::InvalidOption, "accounts holds a negative id");
    }
    array_ = array.attr("astype")("uint64", "copy"_a = false).cast<Array>();
    ids_ = {array_.data(), static_cast<std::size_t>(array_.size())};
  }

  void convert(py::handle object) {
    if (!py::isinstance<py::iterable>(object)) throw refusal(object);
    for (const py::handle item : object) {
      try {
        converted_.push_back(
            py::int_(py::module_::import("operator").attr("index")(item)).cast<std::uint64_t>());
      } catch (const py::builtin_exception&) {
        throw refusal(item);
      } catch (const py::error_already_set&) {
        throw refusal(item);
      }
    }
    ids_ = converted_;
  }

  static Error refusal(py::handle item) {
    return {ErrorCode::InvalidOption, text("accounts must hold integers from 0 to 2^64 - 1, got ",
                                           std::string(py::repr(item)))};
  }

  Array array_;
  std::vector<std::uint64_t> converted_;
  std::span<const std::uint64_t> ids_;
};

/// A Python callable for the library, which calls it without the GIL. A signal that has arrived
/// ends the search.
Progress progress_of(const py::object& callable) {
  if (callable.is_none()) return {};
  // Copies of a Progress are made and dropped without the GIL.
  const std::shared_ptr<py::object> shared(new py::object(callable), [](py::object* object) {
    const py::gil_scoped_acquire gil;
    delete object;
  });
  return [shared](std::size_t done, std::size_t total) {
    const py::gil_scoped_acquire gil;
    (*shared)(done, total);
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
}

Trace trace(const Tracer& self, py::handle token_ids, const std::optional<std::string>& start,
            const py::object& proxy) {
  const TokenIds ids(token_ids, "token_ids");
  const Start from = start_of(start);
  if (proxy.is_none()) {
    const py::gil_scoped_release release;
    return self.trace(ids.ids(), from);
  }
  const KnownProxy known(proxy, ids);
  const py::gil_scoped_release release;
  return self.trace(ids.ids(), known.proxy(), from);
}

std::size_t build_index(const KeyRing& ring, const std::string& profile, py::handle accounts,
                        const std::filesystem::path& path, bool allow_readable_by_others,
                        unsigned threads, const py::object& progress) {
  const AccountIds ids(accounts);
  const AccountIndexOptions options{allow_readable_by_others, threads, progress_of(progress)};
  const py::gil_scoped_release release;
  return build_account_index(ring, profile, ids.ids(), path, options);
}

void bind_traces(py::module_& m) {
  py::class_<OursEvidence>(m, "OursEvidence")
      .def_readonly("scored", &OursEvidence::scored)
      .def_readonly("score", &OursEvidence::score)
      .def_readonly("log10_p", &OursEvidence::log10_p)
      .def_readonly("log10_e", &OursEvidence::log10_e)
      .def("__repr__", [](const OursEvidence& o) {
        return text("<OursEvidence log10_p=", o.log10_p, " scored=", o.scored, ">");
      });

  py::class_<AccountCandidate>(m, "AccountCandidate")
      .def_readonly("account", &AccountCandidate::account)
      .def_readonly("scored", &AccountCandidate::scored)
      .def_readonly("score", &AccountCandidate::score)
      .def_property_readonly("start", [](const AccountCandidate& c) { return start_name(c.start); })
      .def_readonly("log10_p", &AccountCandidate::log10_p)
      .def_readonly("log10_p_adjusted", &AccountCandidate::log10_p_adjusted)
      .def_readonly("log10_e", &AccountCandidate::log10_e)
      .def_readonly("is_accused", &AccountCandidate::is_accused)
      .def("__repr__", [](const AccountCandidate& c) {
        const std::string who = c.account ? std::to_string(*c.account) : "no account";
        return text("<AccountCandidate ", who, " log10_p=", c.log10_p, ">");
      });

  py::class_<TracedRegion>(m, "TracedRegion")
      .def_readonly("account", &TracedRegion::account)
      .def_readonly("begin", &TracedRegion::begin)
      .def_readonly("end", &TracedRegion::end)
      .def_readonly("characters", &TracedRegion::characters)
      .def_readonly("scored", &TracedRegion::scored)
      .def_readonly("score", &TracedRegion::score)
      .def_readonly("log10_p", &TracedRegion::log10_p)
      .def_readonly("log10_gap", &TracedRegion::log10_gap)
      .def("__repr__", [](const TracedRegion& r) {
        return text("<TracedRegion ", r.begin, ":", r.end, " account ", r.account,
                    " log10_p=", r.log10_p, ">");
      });

  py::class_<Trace>(m, "Trace")
      .def_property_readonly("verdict", [](const Trace& t) { return verdict_name(t.verdict); })
      .def_readonly("account", &Trace::account)
      .def_readonly("accused", &Trace::accused)
      .def_readonly("log10_p", &Trace::log10_p)
      .def_readonly("log10_e", &Trace::log10_e)
      .def_readonly("log10_gap", &Trace::log10_gap)
      .def_readonly("log10_threshold", &Trace::log10_threshold)
      .def_readonly("scored", &Trace::scored)
      .def_readonly("tested", &Trace::tested)
      .def_readonly("candidates", &Trace::candidates)
      .def_readonly("regions", &Trace::regions)
      .def_readonly("tests", &Trace::tests)
      .def_readonly("ours", &Trace::ours)
      .def_readonly("log10_p_combined", &Trace::log10_p_combined)
      .def_readonly("tokens_to_decide", &Trace::tokens_to_decide)
      .def_property_readonly("token_scores",
                             [](const Trace& t) { return as_doubles(t.token_scores); })
      .def(
          "_locate",
          [](Trace& t, const std::vector<std::pair<std::size_t, std::size_t>>& spans) {
            locate(t, spans);
          },
          "spans"_a)
      .def("to_json", [](const Trace& t) { return to_json(t); })
      .def("__repr__", [](const Trace& t) {
        const std::string who = t.account ? text(" ", *t.account) : "";
        return text("<Trace ", verdict_name(t.verdict), who, " log10_p=", t.log10_p,
                    " tested=", t.tested, ">");
      });
}

void bind_tracer(py::module_& m) {
  const TracerOptions defaults;
  py::class_<Tracer>(m, "Tracer")
      .def(
          py::init([](const KeyRing& ring, const std::string& profile, py::handle accounts,
                      double false_accusation_rate, double least_gap, std::size_t candidates,
                      const std::optional<std::filesystem::path>& index,
                      bool allow_readable_by_others, unsigned threads, const py::object& progress) {
            const AccountIds ids(accounts);
            const TracerOptions options{.false_accusation_rate = false_accusation_rate,
                                        .least_gap = least_gap,
                                        .candidates = candidates,
                                        .index = index.value_or(std::filesystem::path()),
                                        .allow_readable_by_others = allow_readable_by_others,
                                        .threads = threads,
                                        .progress = progress_of(progress)};
            const py::gil_scoped_release release;
            return std::make_unique<Tracer>(ring, profile, ids.ids(), options);
          }),
          "ring"_a, "profile"_a, "accounts"_a, py::kw_only(),
          "false_accusation_rate"_a = defaults.false_accusation_rate,
          "least_gap"_a = defaults.least_gap, "candidates"_a = defaults.candidates,
          "index"_a = py::none(), "allow_readable_by_others"_a = false,
          "threads"_a = defaults.threads, "progress"_a = py::none())
      .def("trace", &trace, "token_ids"_a, "start"_a = py::none(), py::kw_only(),
           "proxy"_a = py::none())
      .def(
          "trace_text",
          [](const py::object& self, const py::object& string, const py::object& tokenizer,
             const py::object& start) {
            return py::module_::import("countermark.reading")
                .attr("trace_text")(self, string, tokenizer, start);
          },
          "text"_a, "tokenizer"_a, "start"_a = py::none())
      .def(
          "scores",
          [](const Tracer& self, py::handle token_ids) {
            const TokenIds ids(token_ids, "token_ids");
            std::vector<double> scores;
            {
              const py::gil_scoped_release release;
              scores = self.scores(ids.ids());
            }
            return as_doubles(scores);
          },
          "token_ids"_a)
      .def(
          "scored",
          [](const Tracer& self, py::handle token_ids) {
            const TokenIds ids(token_ids, "token_ids");
            const py::gil_scoped_release release;
            return self.scored(ids.ids());
          },
          "token_ids"_a)
      .def_property_readonly("profile", &Tracer::profile)
      .def_property_readonly("accounts",
                             [](const Tracer& self) {
                               const auto ids = self.accounts();
                               return py::array_t<std::uint64_t>(
                                   static_cast<py::ssize_t>(ids.size()), ids.data());
                             })
      .def("__repr__", [](const Tracer& self) {
        return text("<Tracer ", self.profile().id(), ", ", self.accounts().size(), " accounts>");
      });
  m.def("build_account_index", &build_index, "ring"_a, "profile"_a, "accounts"_a, "path"_a,
        py::kw_only(), "allow_readable_by_others"_a = false,
        "threads"_a = AccountIndexOptions{}.threads, "progress"_a = py::none());
}

using PyScreening = OneAtATime<Screening>;

void bind_screening(py::module_& m) {
  py::class_<ScreenedText>(m, "ScreenedText")
      .def_readonly("text", &ScreenedText::text)
      .def_readonly("ours", &ScreenedText::ours)
      .def_readonly("is_searched", &ScreenedText::is_searched)
      .def_readonly("scored", &ScreenedText::scored)
      .def_readonly("is_evidence", &ScreenedText::is_evidence)
      .def("__repr__", [](const ScreenedText& t) {
        return text("<ScreenedText ", t.text, t.is_searched ? " searched>" : ">");
      });

  py::class_<TextEvidence>(m, "TextEvidence")
      .def_readonly("text", &TextEvidence::text)
      .def_readonly("scored", &TextEvidence::scored)
      .def_readonly("log10_e", &TextEvidence::log10_e)
      .def("__repr__", [](const TextEvidence& t) {
        return text("<TextEvidence ", t.text, " log10_e=", t.log10_e, ">");
      });

  py::class_<AccountEvidence>(m, "AccountEvidence")
      .def_readonly("account", &AccountEvidence::account)
      .def_readonly("log10_e", &AccountEvidence::log10_e)
      .def_readonly("is_discovered", &AccountEvidence::is_discovered)
      .def_readonly("texts", &AccountEvidence::texts)
      .def("__repr__", [](const AccountEvidence& a) {
        return text("<AccountEvidence ", a.account, " log10_e=", a.log10_e, " in ", a.texts.size(),
                    " texts>");
      });

  py::class_<ScreeningResult>(m, "ScreeningResult")
      .def_readonly("accounts", &ScreeningResult::accounts)
      .def_readonly("discovered", &ScreeningResult::discovered)
      .def_readonly("log10_e_least", &ScreeningResult::log10_e_least)
      .def_readonly("texts", &ScreeningResult::texts)
      .def_readonly("searched", &ScreeningResult::searched)
      .def_readonly("tested", &ScreeningResult::tested)
      .def("__repr__", [](const ScreeningResult& r) {
        return text("<ScreeningResult ", r.discovered, " of ", r.tested, " accounts in ", r.texts,
                    " texts>");
      });

  const ScreeningOptions defaults;
  py::class_<PyScreening>(m, "Screening")
      .def(py::init([](const Tracer& tracer, double false_discovery_rate, double ours_rate) {
             return PyScreening{Screening(tracer, {.false_discovery_rate = false_discovery_rate,
                                                   .ours_rate = ours_rate}),
                                "screening"};
           }),
           "tracer"_a, py::kw_only(), "false_discovery_rate"_a = defaults.false_discovery_rate,
           "ours_rate"_a = defaults.ours_rate)
      .def(
          "add",
          [](PyScreening& self, py::handle token_ids, const std::optional<std::string>& start) {
            const TokenIds ids(token_ids, "token_ids");
            const Start from = start_of(start);
            const PyScreening::Use use(self);
            const py::gil_scoped_release release;
            return self.inner.add(ids.ids(), from);
          },
          "token_ids"_a, "start"_a = py::none())
      .def("result",
           [](PyScreening& self) {
             const PyScreening::Use use(self);
             const py::gil_scoped_release release;
             return self.inner.result();
           })
      .def("__repr__", [](const PyScreening&) { return "<Screening>"; });
}

void bind_plan(py::module_& m) {
  py::class_<AccountPlan>(m, "AccountPlan")
      .def_readonly("narrow_units", &AccountPlan::narrow_units)
      .def_readonly("tokens_for_ours", &AccountPlan::tokens_for_ours)
      .def_readonly("tokens_for_account", &AccountPlan::tokens_for_account)
      .def_readonly("tokens_for_combined", &AccountPlan::tokens_for_combined)
      .def("__repr__", [](const AccountPlan& p) {
        return text("<AccountPlan narrow_units=", p.narrow_units, ">");
      });
  const AccountPlanOptions defaults;
  m.def(
      "plan_accounts",
      [](const std::vector<std::int64_t>& narrow_units, std::size_t accounts,
         double false_accusation_rate, double false_positive_rate, double marked_score,
         std::size_t free_prefix) {
        return plan_accounts(narrow_units, {.accounts = accounts,
                                            .false_accusation_rate = false_accusation_rate,
                                            .false_positive_rate = false_positive_rate,
                                            .marked_score = marked_score,
                                            .free_prefix = free_prefix});
      },
      "narrow_units"_a, "accounts"_a = defaults.accounts, py::kw_only(),
      "false_accusation_rate"_a = defaults.false_accusation_rate,
      "false_positive_rate"_a = defaults.false_positive_rate,
      "marked_score"_a = defaults.marked_score, "free_prefix"_a = defaults.free_prefix);
}

}  // namespace

void bind_tracing(py::module_& m) {
  bind_traces(m);
  bind_tracer(m);
  bind_screening(m);
  bind_plan(m);
}

}  // namespace countermark::python
