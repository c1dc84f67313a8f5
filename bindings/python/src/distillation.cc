// Whether a model was trained on marked answers.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstdint>
#include <limits>
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

PairWeights weights_of(const std::string& name) {
  if (name == "equal") return PairWeights::Equal;
  if (name == "log") return PairWeights::Log;
  if (name == "reference") return PairWeights::Reference;
  if (name == "most_powerful") return PairWeights::MostPowerful;
  throw Error(ErrorCode::InvalidOption,
              text("weights must be \"equal\", \"log\", \"reference\" or \"most_powerful\", got \"",
                   name, "\""));
}

/// Rows of predictions, asked through countermark.models.
class PredictedRows {
 public:
  /// `or_one_more`: there may be a row for what comes after the last token.
  PredictedRows(const py::object& probabilities, std::size_t tokens, bool or_one_more = false) {
    const py::tuple known = py::module_::import("countermark.models")
                                .attr("predictions_of")(probabilities, tokens, or_one_more);
    const auto ids = known[0].cast<py::array_t<std::int64_t, py::array::c_style>>();
    const auto values = known[1].cast<py::array_t<double, py::array::c_style>>();
    const auto width = static_cast<std::size_t>(ids.shape(1));
    all_.reserve(static_cast<std::size_t>(ids.size()));
    rows_.reserve(static_cast<std::size_t>(ids.shape(0)));
    for (std::size_t i = 0; i < static_cast<std::size_t>(ids.shape(0)); ++i) {
      const std::size_t begin = all_.size();
      for (std::size_t k = i * width; k < (i + 1) * width; ++k) {
        if (ids.data()[k] == -1) continue;
        const bool fits = ids.data()[k] >= std::numeric_limits<TokenId>::min() &&
                          ids.data()[k] <= std::numeric_limits<TokenId>::max();
        // Out of range either way: the library says so.
        all_.push_back(
            {fits ? static_cast<TokenId>(ids.data()[k]) : std::numeric_limits<TokenId>::min(),
             values.data()[k]});
      }
      rows_.push_back(std::span(all_).subspan(begin));
    }
  }
  PredictedRows(const PredictedRows&) = delete;
  PredictedRows& operator=(const PredictedRows&) = delete;

  Predictions rows() const noexcept { return rows_; }

 private:
  std::vector<TokenProbability> all_;
  std::vector<std::span<const TokenProbability>> rows_;
};

using PyDistillationTest = OneAtATime<DistillationTest>;

/// None: nothing is expected.
std::unique_ptr<PredictedRows> expected_rows(const py::object& expected, std::size_t tokens,
                                             bool or_one_more = false) {
  return expected.is_none() ? nullptr
                            : std::make_unique<PredictedRows>(expected, tokens, or_one_more);
}

}  // namespace

void bind_ledger(py::module_& m) {
  py::class_<Ledger>(m, "Ledger")
      .def(py::init([](const KeyRing& ring, const std::string& profile, std::size_t contexts) {
             return Ledger(ring, profile, {.contexts = contexts});
           }),
           "ring"_a, "profile"_a, py::kw_only(), "contexts"_a = LedgerOptions{}.contexts)
      .def_static("open", &Ledger::open, "ring"_a, "profile"_a, "path"_a,
                  py::call_guard<py::gil_scoped_release>())
      .def("save", &Ledger::save, "path"_a, py::call_guard<py::gil_scoped_release>())
      .def("merge", &Ledger::merge, "other"_a, py::call_guard<py::gil_scoped_release>())
      .def(
          "add_response",
          [](Ledger& self, py::handle token_ids) {
            self.add_response(TokenIds(token_ids, "token_ids").ids());
          },
          "token_ids"_a)
      .def(
          "contains",
          [](const Ledger& self, py::handle token_ids) {
            return self.contains(TokenIds(token_ids, "token_ids").ids());
          },
          "token_ids"_a)
      .def_property_readonly("contexts", &Ledger::contexts)
      .def_property_readonly("false_positive_rate", &Ledger::false_positive_rate)
      .def_property_readonly("bytes", &Ledger::bytes)
      .def("__repr__", [](const Ledger& self) {
        return text("<Ledger contexts=", static_cast<std::uint64_t>(self.contexts()),
                    " bytes=", self.bytes(), ">");
      });
}

void bind_distillation(py::module_& m) {
  py::class_<DistillationLook>(m, "DistillationLook")
      .def_readonly("positions", &DistillationLook::positions)
      .def_readonly("scored", &DistillationLook::scored)
      .def_readonly("log10_p", &DistillationLook::log10_p)
      .def_readonly("log10_e", &DistillationLook::log10_e)
      .def_readonly("share", &DistillationLook::share)
      .def("__repr__", [](const DistillationLook& look) {
        return text("<DistillationLook positions=", look.positions, " log10_p=", look.log10_p, ">");
      });

  py::class_<DistillationResult>(m, "DistillationResult")
      .def_readonly("log10_p", &DistillationResult::log10_p)
      .def_readonly("log10_e", &DistillationResult::log10_e)
      .def_readonly("texts", &DistillationResult::texts)
      .def_readonly("positions", &DistillationResult::positions)
      .def_readonly("scored", &DistillationResult::scored)
      .def_property_readonly("decoys",
                             [](const DistillationResult& r) { return as_doubles(r.decoys); })
      .def_readonly("decoy_rank", &DistillationResult::decoy_rank)
      .def_readonly("log10_rank_p", &DistillationResult::log10_rank_p)
      .def_readonly("decoys_agree", &DistillationResult::decoys_agree)
      .def_readonly("looks", &DistillationResult::looks)
      .def("__repr__", [](const DistillationResult& r) {
        return text("<DistillationResult log10_p=", r.log10_p, " scored=", r.scored, ">");
      });

  py::class_<LearnedAccount>(m, "LearnedAccount")
      .def_readonly("account", &LearnedAccount::account)
      .def_readonly("log10_e", &LearnedAccount::log10_e)
      .def_readonly("contexts", &LearnedAccount::contexts)
      .def_readonly("scored", &LearnedAccount::scored)
      .def_readonly("is_discovered", &LearnedAccount::is_discovered)
      .def("__repr__", [](const LearnedAccount& account) {
        return text("<LearnedAccount account=", account.account, " log10_e=", account.log10_e, ">");
      });

  py::class_<LearnedAccounts>(m, "LearnedAccounts")
      .def_readonly("accounts", &LearnedAccounts::accounts)
      .def_readonly("tested", &LearnedAccounts::tested)
      .def_readonly("discovered", &LearnedAccounts::discovered)
      .def_readonly("log10_e_least", &LearnedAccounts::log10_e_least)
      .def("__repr__", [](const LearnedAccounts& accounts) {
        return text("<LearnedAccounts discovered=", accounts.discovered,
                    " tested=", accounts.tested, ">");
      });

  const DistillationOptions defaults;
  py::class_<PyDistillationTest>(m, "DistillationTest")
      .def(py::init([](const KeyRing& ring, const std::string& profile,
                       const std::optional<Ledger>& ledger, const std::string& weights,
                       bool sequential, std::size_t decoys, unsigned threads) {
             return PyDistillationTest{DistillationTest(ring, profile,
                                                        {.weights = weights_of(weights),
                                                         .decoys = decoys,
                                                         .threads = threads,
                                                         .ledger = ledger,
                                                         .sequential = sequential}),
                                       "distillation test"};
           }),
           "ring"_a, "profile"_a, "ledger"_a = py::none(), py::kw_only(), "weights"_a = "log",
           "sequential"_a = defaults.sequential, "decoys"_a = defaults.decoys,
           "threads"_a = defaults.threads)
      .def(
          "add_answer",
          [](PyDistillationTest& self, py::handle prompt_ids, py::handle answer_ids,
             const py::object& expected) {
            const TokenIds prompt(prompt_ids, "prompt_ids"), answer(answer_ids, "answer_ids");
            const auto rows = expected_rows(expected, answer.ids().size());
            const PyDistillationTest::Use use(self);
            self.inner.add_answer(prompt.ids(), answer.ids(),
                                  rows ? Expected(rows->rows()) : std::nullopt);
          },
          "prompt_ids"_a, "answer_ids"_a, py::kw_only(), "expected"_a = py::none())
      .def(
          "add_reading",
          [](PyDistillationTest& self, py::handle token_ids, const py::object& probabilities,
             const py::object& expected, bool served) {
            const TokenIds ids(token_ids, "token_ids");
            const PredictedRows predictions(probabilities, ids.ids().size(), served);
            const auto rows = expected_rows(expected, ids.ids().size(), served);
            const Expected others = rows ? Expected(rows->rows()) : std::nullopt;
            const PyDistillationTest::Use use(self);
            if (served) {
              self.inner.add_served_reading(ids.ids(), predictions.rows(), others);
            } else {
              self.inner.add_reading(ids.ids(), predictions.rows(), others);
            }
          },
          "token_ids"_a, "probabilities"_a, py::kw_only(), "expected"_a = py::none(),
          "served"_a = false)
      .def(
          "add_reference",
          [](PyDistillationTest& self, py::handle token_ids) {
            const TokenIds ids(token_ids, "token_ids");
            const PyDistillationTest::Use use(self);
            self.inner.add_reference(ids.ids());
          },
          "token_ids"_a)
      .def(
          "add_log",
          [](PyDistillationTest& self, std::uint64_t account, py::handle token_ids) {
            const TokenIds ids(token_ids, "token_ids");
            const PyDistillationTest::Use use(self);
            self.inner.add_log(account, ids.ids());
          },
          "account"_a, "token_ids"_a)
      .def(
          "learned_accounts",
          [](PyDistillationTest& self, double false_discovery_rate) {
            const PyDistillationTest::Use use(self);
            const py::gil_scoped_release release;
            return self.inner.learned_accounts(false_discovery_rate);
          },
          "false_discovery_rate"_a = 0.01)
      .def_property_readonly("positions",
                             [](const PyDistillationTest& self) { return self.inner.positions(); })
      .def_static("positions_at", &DistillationTest::positions_at, py::arg("look"))
      .def("result",
           [](PyDistillationTest& self) {
             const PyDistillationTest::Use use(self);
             const py::gil_scoped_release release;
             return self.inner.result();
           })
      .def("__repr__", [](const PyDistillationTest&) { return "<DistillationTest>"; });
}

}  // namespace countermark::python
