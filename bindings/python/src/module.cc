// The extension module: checks arguments, releases the GIL, calls the library. Nothing else.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "buffers.h"
#include "countermark/countermark.h"
#include "stats/gamma_tail.h"

namespace countermark::python {
namespace {

using namespace pybind11::literals;

/// The Python class countermark.CountermarkError.
py::object error_type() {
  return py::module_::import("countermark._errors").attr("CountermarkError");
}

py::object from_json(const std::string& json) {
  return py::module_::import("json").attr("loads")(json);
}

std::string to_json_text(const py::object& value) {
  return py::module_::import("json").attr("dumps")(value).cast<std::string>();
}

/// Wipes `words` when it goes out of scope.
auto wiping(std::vector<std::uint64_t>& words) {
  const auto wipe = [](std::vector<std::uint64_t>* all) {
    volatile std::uint64_t* const data = all->data();
    for (std::size_t i = 0; i < all->size(); ++i) data[i] = 0;
  };
  return std::unique_ptr<std::vector<std::uint64_t>, decltype(wipe)>(&words, wipe);
}

std::int64_t id_limit(const Profile& profile) {
  return profile.tokenizer() ? profile.tokenizer()->vocab_size : std::int64_t{1} << 31;
}

/// A sequence, and whether a call is inside it: the GIL is released there, so that another thread
/// could come in, and a sequence belongs to one thread at a time.
struct PySequence {
  Sequence sequence;
  Profile profile;
  bool busy = false;

  PySequence(Sequence s, Profile p) : sequence(std::move(s)), profile(std::move(p)) {}
};

/// Holds sequences for the length of one call. Made and destroyed with the GIL.
class Use {
 public:
  explicit Use(PySequence& one) {
    sequences_.push_back(&one);
    enter();
  }
  /// Any iterable of sequences. Keeps them alive: the caller's list may change meanwhile, and an
  /// iterator's items have no other owner.
  explicit Use(const py::iterable& sequences) {
    for (const py::handle item : sequences) {
      if (!py::isinstance<PySequence>(item)) {
        throw Error(ErrorCode::InvalidOption, "sequences must be a list of Sequence");
      }
      alive_.push_back(py::reinterpret_borrow<py::object>(item));
      sequences_.push_back(item.cast<PySequence*>());
    }
    enter();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    for (PySequence* sequence : sequences_) sequence->busy = false;
  }

  std::size_t size() const noexcept { return pointers_.size(); }
  std::span<Sequence* const> sequences() const noexcept { return pointers_; }
  Sequence& one() const noexcept { return *pointers_.front(); }
  const Profile& profile(std::size_t i) const noexcept { return sequences_[i]->profile; }

 private:
  void enter() {
    for (PySequence* sequence : sequences_) pointers_.push_back(&sequence->sequence);
    for (const PySequence* sequence : sequences_) {
      if (sequence->busy) {
        throw Error(ErrorCode::RepeatedSequence,
                    "a sequence is in use by another thread; it belongs to one at a time");
      }
    }
    for (PySequence* sequence : sequences_) sequence->busy = true;
  }

  std::vector<py::object> alive_;
  std::vector<PySequence*> sequences_;
  std::vector<Sequence*> pointers_;
};

/// The value of a row at `i`, for messages.
float logit_at(const Logits& row, std::size_t i) {
  if (row.type() == Logits::Type::Float32) return static_cast<const float*>(row.data())[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(row.data())[i];
  const bool half = row.type() == Logits::Type::Float16;
  const std::uint16_t exponent = half ? 0x7C00 : 0x7F80;
  // Only NaN and +inf are asked about.
  if ((bits & 0x7FFF) > exponent) return NAN;
  return bits == exponent ? HUGE_VALF : 0.0F;
}

std::string refusal(ErrorCode code, const Logits& row,
                    const std::optional<TokenizerInfo>& tokenizer) {
  if (code == ErrorCode::SizeMismatch && tokenizer) {
    return text("logits must hold at least vocab_size = ", tokenizer->vocab_size, " values, got ",
                row.size());
  }
  if (code == ErrorCode::InvalidLogits) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const float logit = logit_at(row, i);
      if (!(logit < HUGE_VALF)) {
        return text("logits[", i, "] is ", std::isnan(logit) ? "NaN" : "+inf",
                    "; logits must be finite or -inf");
      }
    }
  }
  return std::string(error_description(code));
}

void check(ErrorCode code) {
  if (code != ErrorCode::Ok) throw Error(code, std::string(error_description(code)));
}

void check(const BatchStatus& status) {
  if (!status.ok()) {
    throw Error(status.code, text("row ", status.row, ": ", error_description(status.code)));
  }
}

SamplingOptions options(double temperature, std::int64_t top_k, double top_p, double min_p) {
  const auto require = [](bool ok, const char* field, auto value, const char* range) {
    if (!ok)
      throw Error(ErrorCode::InvalidOption, text(field, " must be ", range, ", got ", value));
  };
  require(temperature >= 0.0 && temperature < HUGE_VAL, "temperature", temperature,
          "finite and 0 or more");
  require(top_k >= 0, "top_k", top_k, "0 (off) or more");
  require(top_p > 0.0 && top_p <= 1.0, "top_p", top_p, "in (0, 1]");
  require(min_p >= 0.0 && min_p <= 1.0, "min_p", min_p, "in [0, 1]");
  return {temperature, top_k, top_p, min_p};
}

Purpose purpose_of(const std::string& purpose) {
  if (purpose == "balanced") return Purpose::Balanced;
  if (purpose == "distillation") return Purpose::Distillation;
  if (purpose == "provenance") return Purpose::Provenance;
  throw Error(ErrorCode::InvalidOption,
              text("purpose must be \"balanced\", \"distillation\" or \"provenance\", got \"",
                   purpose, "\""));
}

std::optional<TokenizerInfo> tokenizer_info(const py::object& tokenizer) {
  if (tokenizer.is_none()) return std::nullopt;
  const py::dict info = py::module_::import("countermark.tokenizers").attr("describe")(tokenizer);
  return TokenizerInfo{info["name"].cast<std::string>(), info["vocab_size"].cast<std::int64_t>(),
                       info["fingerprint"].cast<std::string>()};
}

ProfileOptions profile_options(const std::string& mark, bool accounts, const std::string& purpose,
                               std::int64_t narrow_width, std::int64_t wide_width,
                               std::optional<std::int64_t> narrow_units,
                               std::optional<std::int64_t> free_units,
                               std::optional<std::int64_t> free_prefix,
                               const py::object& tokenizer) {
  ProfileOptions result;
  result.mark = mark;
  result.accounts = accounts;
  result.purpose = purpose_of(purpose);
  result.narrow_width = narrow_width;
  result.wide_width = wide_width;
  result.narrow_units = narrow_units;
  result.free_units = free_units;
  result.free_prefix = free_prefix;
  result.tokenizer = tokenizer_info(tokenizer);
  return result;
}

/// A row's refusal names what is wrong with the row.
template <typename Draw>
TokenId draw_from_logits(PySequence& self, py::handle logits, const Draw& draw) {
  const LogitRows rows(logits, 1);
  const Logits& row = rows.rows().front();
  ErrorCode code;
  TokenId token = 0;
  {
    const Use use(self);
    const py::gil_scoped_release release;
    code = draw(use.one(), row, token);
  }
  if (code != ErrorCode::Ok) throw Error(code, refusal(code, row, self.profile.tokenizer()));
  return token;
}

py::array_t<double> weights_of(py::handle object) {
  auto weights = py::array_t<double, py::array::c_style | py::array::forcecast>::ensure(
      py::reinterpret_borrow<py::object>(object));
  if (!weights) {
    PyErr_Clear();
    throw Error(ErrorCode::InvalidWeights, "weights must be an array of real numbers");
  }
  return weights;
}

/// The bytes of a secret, exactly as they lie in `object`.
std::span<const std::uint8_t> secret_bytes(const py::buffer_info& bytes) {
  if (bytes.ndim != 1 || bytes.itemsize != 1 || bytes.strides[0] != 1) {
    throw Error(ErrorCode::InvalidKey,
                "a secret must be contiguous bytes: bytes, bytearray or a view of all of one");
  }
  return {static_cast<const std::uint8_t*>(bytes.ptr), static_cast<std::size_t>(bytes.size)};
}

TokenId select_candidates(PySequence& self, py::handle ids, py::handle weights) {
  const TokenIds token_ids(ids, "ids");
  const auto values = weights_of(weights);
  if (values.ndim() != 1 || token_ids.ids().size() != static_cast<std::size_t>(values.size())) {
    throw Error(ErrorCode::SizeMismatch,
                text("ids has ", token_ids.ids().size(), " entries and weights ", values.size()));
  }
  const Use use(self);
  TokenId token = 0;
  check(use.one().select_candidates(
      token_ids.ids(), {values.data(), static_cast<std::size_t>(values.size())}, token));
  return token;
}

void observe(PySequence& self, std::int64_t token) {
  const Use use(self);
  const std::int64_t limit = id_limit(self.profile);
  const bool fits = token >= 0 && token < limit;
  const ErrorCode code =
      fits ? use.one().observe(static_cast<TokenId>(token)) : ErrorCode::TokenOutOfRange;
  if (code == ErrorCode::TokenOutOfRange) {
    throw Error(code, text("token is ", token, ", and a token id must be in 0..", limit - 1));
  }
  check(code);
}

py::array_t<TokenId> as_array(std::span<const TokenId> tokens) {
  return py::array_t<TokenId>(static_cast<py::ssize_t>(tokens.size()), tokens.data());
}

py::array_t<TokenId> sample_batch(const Sampler& self, py::handle logits,
                                  const py::iterable& sequences, double temperature,
                                  std::int64_t top_k, double top_p, double min_p) {
  const SamplingOptions how = options(temperature, top_k, top_p, min_p);
  const LogitRows rows(logits, 2);
  const Use use(sequences);
  if (rows.rows().size() != use.size()) {
    throw Error(ErrorCode::SizeMismatch,
                text("logits has ", rows.rows().size(), " rows for ", use.size(), " sequences"));
  }
  std::vector<TokenId> tokens(use.size());
  BatchStatus status;
  {
    const py::gil_scoped_release release;
    status = self.sample_batch(rows.rows(), use.sequences(), how, tokens);
  }
  if (!status.ok()) {
    // A sequence may be of another sampler: what it refuses is its own profile's business.
    const std::string why =
        refusal(status.code, rows.rows()[status.row], use.profile(status.row).tokenizer());
    throw Error(status.code, text("row ", status.row, ": ", why));
  }
  return as_array(tokens);
}

py::array_t<TokenId> sample_candidates_batch(const Sampler& self, py::handle ids,
                                             py::handle weights, const py::iterable& sequences) {
  const auto values = weights_of(weights);
  const Use use(sequences);
  if (values.ndim() != 2 || static_cast<std::size_t>(values.shape(0)) != use.size()) {
    throw Error(ErrorCode::SizeMismatch,
                text("weights must have the shape [", use.size(), ", width]"));
  }
  const py::array array = py::array::ensure(py::reinterpret_borrow<py::object>(ids));
  if (!array || array.ndim() != 2 || array.shape(0) != values.shape(0) ||
      array.shape(1) != values.shape(1)) {
    PyErr_Clear();
    throw Error(ErrorCode::SizeMismatch, text("ids must have the shape of weights, [",
                                              values.shape(0), ", ", values.shape(1), "]"));
  }
  const TokenIds token_ids(array.attr("reshape")(-1), "ids");
  std::vector<TokenId> tokens(use.size());
  BatchStatus status;
  {
    const py::gil_scoped_release release;
    status = self.sample_candidates_batch(
        token_ids.ids(), {values.data(), static_cast<std::size_t>(values.size())},
        static_cast<std::size_t>(values.shape(1)), use.sequences(), tokens);
  }
  check(status);
  return as_array(tokens);
}

void observe_batch(const Sampler& self, const py::iterable& sequences, py::handle tokens) {
  const TokenIds ids(tokens, "tokens");
  const Use use(sequences);
  if (ids.ids().size() != use.size()) {
    throw Error(ErrorCode::SizeMismatch,
                text("tokens has ", ids.ids().size(), " entries for ", use.size(), " sequences"));
  }
  check(self.observe_batch(use.sequences(), ids.ids()));
}

py::tuple placements(const Sampler&, const py::iterable& sequences) {
  const Use use(sequences);
  for (std::size_t i = 0; i < use.size(); ++i) {
    if (use.profile(i).mark() != ProfileOptions{}.mark) {
      throw Error(ErrorCode::InvalidOption,
                  text("row ", i, ": profile \"", use.profile(i).id(), "\" has the mark ",
                       use.profile(i).mark(), ", which has no placements: sample here"));
    }
  }
  const auto size = static_cast<py::ssize_t>(use.size());
  py::array_t<std::uint8_t> layer(size);
  py::array_t<std::uint64_t> k1(size), k2(size), a1(size), a2(size);
  for (py::ssize_t i = 0; i < size; ++i) {
    const Placement placement = use.sequences()[static_cast<std::size_t>(i)]->placement();
    layer.mutable_at(i) = static_cast<std::uint8_t>(placement.layer);
    k1.mutable_at(i) = placement.k1;
    k2.mutable_at(i) = placement.k2;
    a1.mutable_at(i) = placement.a1;
    a2.mutable_at(i) = placement.a2;
  }
  return py::make_tuple(layer, k1, k2, a1, a2);
}

/// A detector, with the ring that a replay takes its keys from.
struct PyDetector : Detector {
  KeyRing ring;
  std::vector<std::string> ids;
  DetectorOptions options;

  PyDetector(const KeyRing& from, std::vector<std::string> profile_ids, DetectorOptions how)
      : Detector(from, profile_ids, how),
        ring(from),
        ids(std::move(profile_ids)),
        options(std::move(how)) {}
};

/// Views of many texts.
class Views {
 public:
  explicit Views(const py::iterable& texts) {
    for (const py::handle item : texts) {
      kept_.push_back(std::make_unique<TokenIds>(item, "token_ids"));
      spans_.push_back(kept_.back()->ids());
    }
  }
  std::span<const std::span<const TokenId>> spans() const noexcept { return spans_; }

 private:
  std::vector<std::unique_ptr<TokenIds>> kept_;
  std::vector<std::span<const TokenId>> spans_;
};

std::vector<Detection> detect_many(const PyDetector& self, const py::iterable& texts,
                                   unsigned threads, const std::optional<std::string>& start) {
  const Views views(texts);
  const Start from = start_of(start);
  const py::gil_scoped_release release;
  return self.detect_many(views.spans(), from, threads);
}

Detection detect(const PyDetector& self, py::handle token_ids,
                 const std::optional<std::string>& start, const py::object& proxy,
                 const py::object& prompt) {
  const TokenIds ids(token_ids, "token_ids");
  const Start from = start_of(start);
  std::optional<TokenIds> before;
  std::optional<std::span<const TokenId>> known_prompt;
  if (!prompt.is_none()) known_prompt = before.emplace(prompt, "prompt").ids();
  if (proxy.is_none()) {
    const py::gil_scoped_release release;
    return self.detect(ids.ids(), from, known_prompt);
  }
  const KnownProxy known(proxy, ids);
  const py::gil_scoped_release release;
  return self.detect(ids.ids(), known.proxy(), from, known_prompt);
}

Detection detect_variants(const PyDetector& self, const py::iterable& variants,
                          const std::optional<std::string>& start) {
  const Views views(variants);
  const Start from = start_of(start);
  const py::gil_scoped_release release;
  return self.detect_variants(views.spans(), from);
}

std::vector<ContractFit> identify_texts(const py::iterable& texts, const py::object& key,
                                        const py::object& prompts,
                                        std::optional<std::int64_t> vocab_size,
                                        double false_positive_rate, unsigned threads) {
  auto words = py::module_::import("countermark.engines")
                   .attr("words_of")(key)
                   .cast<std::vector<std::uint64_t>>();
  const auto wiped = wiping(words);
  const Views views(texts);
  std::optional<Views> before;
  if (!prompts.is_none()) {
    before.emplace(py::reinterpret_borrow<py::iterable>(prompts));
    if (before->spans().size() != views.spans().size()) {
      throw Error(ErrorCode::SizeMismatch, text("there are ", views.spans().size(), " texts, and ",
                                                before->spans().size(), " prompts"));
    }
  }
  std::vector<EngineText> all;
  for (std::size_t i = 0; i < views.spans().size(); ++i) {
    all.push_back({views.spans()[i]});
    if (before) all.back().prompt = before->spans()[i];
  }
  const py::gil_scoped_release release;
  return identify(
      all, words,
      {.vocab_size = vocab_size, .false_positive_rate = false_positive_rate, .threads = threads});
}

/// A replay, and whether a call is inside it: it belongs to one thread at a time.
struct PyReplay {
  Replay replay;
  bool busy = false;
};

void observe_rows(PyReplay& self, py::handle logits, py::handle token_ids) {
  const LogitRows rows(logits, 2);
  const TokenIds ids(token_ids, "token_ids");
  if (rows.rows().size() != ids.ids().size()) {
    throw Error(ErrorCode::SizeMismatch,
                text("logits has ", rows.rows().size(), " rows for ", ids.ids().size(), " tokens"));
  }
  if (std::exchange(self.busy, true)) {
    throw Error(ErrorCode::RepeatedSequence,
                "a replay is in use by another thread; it belongs to one at a time");
  }
  ErrorCode code = ErrorCode::Ok;
  std::size_t row = 0;
  {
    const py::gil_scoped_release release;
    for (; row < ids.ids().size() && code == ErrorCode::Ok; ++row) {
      code = self.replay.observe(rows.rows()[row], ids.ids()[row]);
    }
  }
  self.busy = false;
  if (code == ErrorCode::Ok) return;
  const std::size_t at = row - 1;
  if (code == ErrorCode::TokenOutOfRange) {
    throw Error(code, text("row ", at, ": the token is ", ids.ids()[at],
                           ", which no profile replayed can have marked"));
  }
  throw Error(code, text("row ", at, ": ", refusal(code, rows.rows()[at], {})));
}

py::object tokenizer_dict(const Profile& profile) {
  if (!profile.tokenizer()) return py::none();
  const TokenizerInfo& info = *profile.tokenizer();
  return py::dict("name"_a = info.name, "vocab_size"_a = info.vocab_size,
                  "fingerprint"_a = info.fingerprint);
}

std::string fingerprint(const py::iterable& vocabulary) {
  std::vector<std::pair<TokenId, std::string>> entries;
  for (const py::handle item : vocabulary) {
    entries.push_back(item.cast<std::pair<TokenId, std::string>>());
  }
  return tokenizer_fingerprint(entries);
}

void bind_profiles(py::module_& m) {
  py::class_<Profile>(m, "Profile")
      .def_static("from_json", &Profile::from_json, "json"_a)
      .def("to_json", &Profile::to_json)
      .def_property_readonly("id", &Profile::id)
      .def_property_readonly("mark", &Profile::mark)
      .def_property_readonly("warning",
                             [](const Profile& p) -> std::optional<std::string> {
                               if (p.warning().empty()) return std::nullopt;
                               return std::string(p.warning());
                             })
      .def_property_readonly("parameters",
                             [](const Profile& p) { return from_json(p.parameters_json()); })
      .def_property_readonly("key_id", &Profile::key_id)
      .def_property_readonly("commitment",
                             [](const Profile& p) -> std::optional<std::string> {
                               if (p.commitment().empty()) return std::nullopt;
                               return p.commitment();
                             })
      .def_property_readonly("tokenizer", &tokenizer_dict)
      .def_property_readonly("created", &Profile::created)
      .def_property_readonly("status",
                             [](const Profile& p) { return p.is_active() ? "active" : "retired"; })
      .def_property_readonly("accounts", &Profile::has_accounts)
      .def("__eq__", [](const Profile& a, const Profile& b) { return a.to_json() == b.to_json(); })
      .def("__hash__", [](const Profile& p) { return py::hash(py::str(p.to_json())); })
      .def(py::pickle([](const Profile& p) { return p.to_json(); },
                      [](const std::string& json) { return Profile::from_json(json); }))
      .def("__repr__", [](const Profile& p) {
        return text("<Profile ", p.id(), " ", p.mark(), " key ", p.key_id(), ">");
      });

  const ProfileOptions defaults;
  py::class_<KeyRing>(m, "KeyRing")
      .def_static("generate", &KeyRing::generate)
      .def_static(
          "open",
          [](const std::filesystem::path& path, const std::optional<std::string>& passphrase,
             bool allow_readable) {
            if (passphrase) {
              throw Error(ErrorCode::UnsupportedFormat,
                          "this version does not open sealed key rings; leave passphrase out");
            }
            return KeyRing::open(path, {.allow_readable_by_others = allow_readable});
          },
          "path"_a, "passphrase"_a = py::none(), py::kw_only(), "allow_readable"_a = false)
      .def("save", &KeyRing::save, "path"_a)
      .def(
          "create_profile",
          [](KeyRing& ring, const std::string& id, const std::string& mark, bool accounts,
             const std::string& purpose, std::int64_t narrow_width, std::int64_t wide_width,
             std::optional<std::int64_t> narrow_units, std::optional<std::int64_t> free_units,
             std::optional<std::int64_t> free_prefix, const py::object& tokenizer) {
            return ring.create_profile(
                id, profile_options(mark, accounts, purpose, narrow_width, wide_width, narrow_units,
                                    free_units, free_prefix, tokenizer));
          },
          "id"_a, "mark"_a = defaults.mark, "accounts"_a = defaults.accounts,
          "purpose"_a = "balanced", "narrow_width"_a = defaults.narrow_width,
          "wide_width"_a = defaults.wide_width, "narrow_units"_a = py::none(),
          "free_units"_a = py::none(), "free_prefix"_a = py::none(), "tokenizer"_a = py::none())
      .def(
          "import_secret",
          [](KeyRing& ring, const std::string& id, const py::buffer& secret,
             const std::string& mark, bool accounts, const std::string& purpose,
             std::int64_t narrow_width, std::int64_t wide_width,
             std::optional<std::int64_t> narrow_units, std::optional<std::int64_t> free_units,
             std::optional<std::int64_t> free_prefix, const py::object& tokenizer) {
            const py::buffer_info bytes = secret.request();
            return ring.import_secret(
                id, secret_bytes(bytes),
                profile_options(mark, accounts, purpose, narrow_width, wide_width, narrow_units,
                                free_units, free_prefix, tokenizer));
          },
          "id"_a, "secret"_a, "mark"_a = defaults.mark, "accounts"_a = defaults.accounts,
          "purpose"_a = "balanced", "narrow_width"_a = defaults.narrow_width,
          "wide_width"_a = defaults.wide_width, "narrow_units"_a = py::none(),
          "free_units"_a = py::none(), "free_prefix"_a = py::none(), "tokenizer"_a = py::none())
      .def(
          "import_engine_key",
          [](KeyRing& ring, const std::string& id, const py::object& mark, const py::object& key,
             const py::object& config, const py::object& tokenizer, const py::kwargs& parameters) {
            const py::object engine = py::module_::import("countermark.engines")
                                          .attr("resolve")(mark, key, config, parameters);
            auto words = engine.attr("words").cast<std::vector<std::uint64_t>>();
            const auto wiped = wiping(words);
            EngineKeyOptions how;
            how.parameters_json = to_json_text(engine.attr("parameters"));
            how.tokenizer = tokenizer_info(tokenizer);
            return ring.import_engine_key(id, engine.attr("mark").cast<std::string>(), words, how);
          },
          "id"_a, "mark"_a = py::none(), "key"_a = py::none(), py::kw_only(),
          "config"_a = py::none(), "tokenizer"_a = py::none())
      .def("retire", &KeyRing::retire, "id"_a)
      .def("profile", &KeyRing::profile, "id"_a)
      .def_property_readonly("profiles", &KeyRing::profiles)
      .def("__repr__", [](const KeyRing& ring) {
        return text("<KeyRing of ", ring.profiles().size(), " profiles>");
      });

  m.def("tokenizer_fingerprint", &fingerprint, "vocabulary"_a);
}

void bind_sampling(py::module_& m) {
  py::class_<SequenceStats>(m, "SequenceStats")
      .def_readonly("tokens", &SequenceStats::tokens)
      .def_readonly("marked", &SequenceStats::marked)
      .def_readonly("free", &SequenceStats::free)
      .def_readonly("greedy", &SequenceStats::greedy)
      .def_readonly("forced", &SequenceStats::forced)
      .def_readonly("entropy_bits", &SequenceStats::entropy_bits)
      .def_readonly("expected_log10_p", &SequenceStats::expected_log10_p)
      .def_property_readonly("is_marked", &SequenceStats::is_marked)
      .def("as_dict",
           [](const SequenceStats& s) {
             return py::dict("is_marked"_a = s.is_marked(), "tokens"_a = s.tokens,
                             "marked"_a = s.marked, "free"_a = s.free, "greedy"_a = s.greedy,
                             "forced"_a = s.forced, "entropy_bits"_a = s.entropy_bits,
                             "expected_log10_p"_a = s.expected_log10_p);
           })
      .def("__repr__", [](const SequenceStats& s) {
        return text("<SequenceStats ", s.is_marked() ? "" : "NOT MARKED, ", "tokens=", s.tokens,
                    " marked=", s.marked, " free=", s.free, " greedy=", s.greedy,
                    " forced=", s.forced, ">");
      });

  const SamplingOptions defaults;
  py::class_<PySequence>(m, "Sequence")
      .def(
          "select",
          [](PySequence& self, py::handle logits, double temperature, std::int64_t top_k,
             double top_p, double min_p) {
            const SamplingOptions how = options(temperature, top_k, top_p, min_p);
            return draw_from_logits(self, logits,
                                    [&](const Sequence& s, const Logits& row, TokenId& token) {
                                      return s.select(row, how, token);
                                    });
          },
          "logits"_a, py::kw_only(), "temperature"_a = defaults.temperature,
          "top_k"_a = defaults.top_k, "top_p"_a = defaults.top_p, "min_p"_a = defaults.min_p)
      .def(
          "sample",
          [](PySequence& self, py::handle logits, double temperature, std::int64_t top_k,
             double top_p, double min_p) {
            const SamplingOptions how = options(temperature, top_k, top_p, min_p);
            return draw_from_logits(self, logits,
                                    [&](Sequence& s, const Logits& row, TokenId& token) {
                                      return s.sample(row, how, token);
                                    });
          },
          "logits"_a, py::kw_only(), "temperature"_a = defaults.temperature,
          "top_k"_a = defaults.top_k, "top_p"_a = defaults.top_p, "min_p"_a = defaults.min_p)
      .def("select_candidates", &select_candidates, "ids"_a, "weights"_a)
      .def("observe", &observe, "token"_a)
      .def(
          "rollback",
          [](PySequence& self, std::int64_t count) {
            const Use use(self);
            const std::size_t size = use.one().size();
            if (count < 0 || static_cast<std::uint64_t>(count) > size) {
              throw Error(ErrorCode::InvalidOption,
                          text("count must be in 0..", size, ", got ", count));
            }
            use.one().rollback(static_cast<std::size_t>(count));
          },
          "count"_a)
      .def(
          "fork",
          [](PySequence& self, std::optional<std::uint64_t> seed) {
            return std::make_unique<PySequence>(Use(self).one().fork(seed), self.profile);
          },
          "seed"_a = py::none())
      .def_property_readonly("stats", [](PySequence& self) { return Use(self).one().stats(); })
      .def_property_readonly("tokens",
                             [](PySequence& self) { return as_array(Use(self).one().tokens()); })
      .def("__len__", [](PySequence& self) { return Use(self).one().size(); })
      .def("__repr__", [](PySequence& self) {
        return text("<Sequence of ", Use(self).one().size(), " tokens, profile ", self.profile.id(),
                    ">");
      });

  py::class_<Sampler>(m, "Sampler")
      .def(py::init([](const KeyRing& ring, const std::string& profile, unsigned threads,
                       const std::optional<Ledger>& ledger) {
             return Sampler(ring, profile, {.threads = threads, .ledger = ledger});
           }),
           "ring"_a, "profile"_a, py::kw_only(), "threads"_a = SamplerOptions{}.threads,
           "ledger"_a = py::none())
      .def_property_readonly("profile", &Sampler::profile)
      .def(
          "sequence",
          [](const Sampler& self, std::optional<std::uint64_t> account,
             std::optional<std::uint64_t> seed, py::handle response_so_far, std::size_t max_tokens,
             py::handle prompt) {
            const TokenIds so_far(response_so_far, "response_so_far");
            const TokenIds before(prompt, "prompt");
            return std::make_unique<PySequence>(self.sequence({.account = account,
                                                               .seed = seed,
                                                               .response_so_far = so_far.ids(),
                                                               .prompt = before.ids(),
                                                               .max_tokens = max_tokens}),
                                                self.profile());
          },
          "account"_a = py::none(), "seed"_a = py::none(), "response_so_far"_a = py::tuple(),
          py::kw_only(), "max_tokens"_a = SequenceOptions{}.max_tokens, "prompt"_a = py::tuple())
      .def("sample_batch", &sample_batch, "logits"_a, "sequences"_a, py::kw_only(),
           "temperature"_a = defaults.temperature, "top_k"_a = defaults.top_k,
           "top_p"_a = defaults.top_p, "min_p"_a = defaults.min_p)
      .def("sample_candidates_batch", &sample_candidates_batch, "ids"_a, "weights"_a, "sequences"_a)
      .def("observe_batch", &observe_batch, "sequences"_a, "tokens"_a)
      .def("placements", &placements, "sequences"_a)
      .def("__repr__",
           [](const Sampler& self) { return text("<Sampler ", self.profile().id(), ">"); });
}

void bind_detection(py::module_& m) {
  py::class_<Test>(m, "Test")
      .def_property_readonly("statistic", [](const Test& t) { return statistic_name(t.statistic); })
      .def_readonly("share", &Test::share)
      .def_readonly("log10_p", &Test::log10_p)
      .def("__repr__", [](const Test& t) {
        return text("<Test ", statistic_name(t.statistic), " log10_p=", t.log10_p, ">");
      });

  py::class_<Region>(m, "Region")
      .def_readonly("profile", &Region::profile)
      .def_readonly("begin", &Region::begin)
      .def_readonly("end", &Region::end)
      .def_readonly("characters", &Region::characters)
      .def_readonly("scored", &Region::scored)
      .def_readonly("score", &Region::score)
      .def_readonly("log10_p", &Region::log10_p)
      .def("__repr__", [](const Region& r) {
        return text("<Region ", r.begin, ":", r.end, " ", r.profile, " log10_p=", r.log10_p, ">");
      });

  py::class_<DecoyRank>(m, "DecoyRank")
      .def_readonly("profile", &DecoyRank::profile)
      .def_readonly("log10_p", &DecoyRank::log10_p)
      .def_property_readonly("decoys", [](const DecoyRank& r) { return as_doubles(r.decoys); })
      .def_readonly("rank", &DecoyRank::rank)
      .def_readonly("log10_rank_p", &DecoyRank::log10_rank_p)
      .def_readonly("agrees", &DecoyRank::agrees)
      .def("__repr__", [](const DecoyRank& r) {
        return text("<DecoyRank ", r.rank, " of ", r.decoys.size() + 1, ">");
      });

  py::class_<ProfileResult>(m, "ProfileResult")
      .def_readonly("profile", &ProfileResult::profile)
      .def_readonly("scored", &ProfileResult::scored)
      .def_readonly("score", &ProfileResult::score)
      .def_readonly("log10_p", &ProfileResult::log10_p)
      .def_readonly("log10_p_adjusted", &ProfileResult::log10_p_adjusted)
      .def_readonly("log10_e", &ProfileResult::log10_e)
      .def_readonly("is_marked", &ProfileResult::is_marked)
      .def_readonly("log10_inflation", &ProfileResult::log10_inflation)
      .def_readonly("tests", &ProfileResult::tests)
      .def_readonly("engine", &ProfileResult::engine)
      .def_property_readonly("start", [](const ProfileResult& r) { return start_name(r.start); })
      .def("__repr__", [](const ProfileResult& r) {
        return text("<ProfileResult ", r.profile, " log10_p=", r.log10_p, ">");
      });

  py::class_<EngineResult>(m, "EngineResult")
      .def_readonly("scored", &EngineResult::scored)
      .def_readonly("score", &EngineResult::score)
      .def_property_readonly("log10_p",
                             [](const EngineResult& e) -> std::optional<double> {
                               if (std::isnan(e.log10_p)) return std::nullopt;
                               return e.log10_p;
                             })
      .def_readonly("remark", &EngineResult::remark)
      .def("__repr__", [](const EngineResult& e) {
        return text("<EngineResult log10_p=", e.log10_p, " score=", e.score, ">");
      });

  py::class_<Detection>(m, "Detection")
      .def_property_readonly("verdict", [](const Detection& d) { return verdict_name(d.verdict); })
      .def_readonly("log10_p", &Detection::log10_p)
      .def_readonly("log10_e", &Detection::log10_e)
      .def_readonly("scored", &Detection::scored)
      .def_readonly("tested", &Detection::tested)
      .def_readonly("regions", &Detection::regions)
      .def_readonly("variants", &Detection::variants)
      .def_readonly("variant", &Detection::variant)
      .def_readonly("entropy_bits", &Detection::entropy_bits)
      .def_readonly("tokens_to_decide", &Detection::tokens_to_decide)
      .def_readonly("log10_threshold", &Detection::log10_threshold)
      .def_readonly("results", &Detection::results)
      .def_property_readonly("profile",
                             [](const Detection& d) -> std::optional<std::string> {
                               if (d.profile.empty()) return std::nullopt;
                               return d.profile;
                             })
      .def_property_readonly("best", [](const Detection& d) { return d.results[d.best]; })
      .def_property_readonly("token_scores",
                             [](const Detection& d) { return as_doubles(d.token_scores); })
      .def(
          "_locate",
          [](Detection& d, const std::vector<std::pair<std::size_t, std::size_t>>& spans) {
            locate(d, spans);
          },
          "spans"_a)
      .def("to_json", [](const Detection& d) { return to_json(d); })
      .def("__repr__", [](const Detection& d) {
        return text("<Detection ", verdict_name(d.verdict), " log10_p=", d.log10_p,
                    " scored=", d.scored, ">");
      });

  py::class_<AccountScore>(m, "AccountScore")
      .def_readonly("scored", &AccountScore::scored)
      .def_readonly("score", &AccountScore::score)
      .def_readonly("log10_p", &AccountScore::log10_p)
      .def("__repr__", [](const AccountScore& s) {
        return text("<AccountScore log10_p=", s.log10_p, " scored=", s.scored, ">");
      });

  py::class_<MeasuredRates>(m, "MeasuredRates")
      .def_readonly("tokens", &MeasuredRates::tokens)
      .def_readonly("pieces", &MeasuredRates::pieces)
      .def_readonly("plain", &MeasuredRates::plain)
      .def_readonly("filtered", &MeasuredRates::filtered)
      .def_readonly("log10_inflation", &MeasuredRates::log10_inflation)
      .def("__repr__", [](const MeasuredRates& r) {
        return text("<MeasuredRates at ", r.tokens, " tokens, ", r.pieces, " pieces>");
      });

  const CalibrationOptions calibration_defaults;
  py::class_<Calibration>(m, "Calibration")
      .def_static(
          "build",
          [](const KeyRing& ring, const std::string& profile, const py::iterable& documents,
             std::size_t common_in, const std::vector<std::size_t>& lengths, unsigned threads) {
            const Views views(documents);
            const py::gil_scoped_release release;
            return Calibration::build(
                ring, profile, views.spans(),
                {.common_in = common_in, .lengths = lengths, .threads = threads});
          },
          "ring"_a, "profile"_a, "documents"_a, py::kw_only(),
          "common_in"_a = calibration_defaults.common_in,
          "lengths"_a = calibration_defaults.lengths, "threads"_a = calibration_defaults.threads)
      .def_static(
          "from_json", [](const std::string& json) { return Calibration::from_json(json); },
          "json"_a)
      .def_static("open", &Calibration::open, "path"_a)
      .def("to_json", &Calibration::to_json)
      .def("save", &Calibration::save, "path"_a)
      .def_property_readonly("profile", &Calibration::profile)
      .def_property_readonly("key_id", &Calibration::key_id)
      .def_property_readonly("documents", &Calibration::documents)
      .def_property_readonly("common_in", &Calibration::common_in)
      .def_property_readonly("common_ngrams", &Calibration::common_ngrams)
      .def_property_readonly("rates", &Calibration::rates)
      .def("log10_inflation", &Calibration::log10_inflation, "tokens"_a)
      .def("__repr__", [](const Calibration& c) {
        return text("<Calibration of ", c.profile(), ", ", c.documents(), " documents>");
      });

  py::class_<PyDetector>(m, "Detector")
      .def(py::init([](const KeyRing& ring, const std::optional<std::vector<std::string>>& profiles,
                       double false_positive_rate, const py::iterable& calibrations) {
             DetectorOptions how{.false_positive_rate = false_positive_rate};
             for (const py::handle item : calibrations) {
               if (!py::isinstance<Calibration>(item)) {
                 throw Error(ErrorCode::InvalidOption,
                             "calibrations must be a list of Calibration");
               }
               how.calibrations.push_back(item.cast<Calibration>());
             }
             std::vector<std::string> ids;
             if (profiles) {
               ids = *profiles;
             } else {
               for (const Profile& profile : ring.profiles()) ids.push_back(profile.id());
             }
             return PyDetector(ring, std::move(ids), std::move(how));
           }),
           "ring"_a, "profiles"_a = py::none(), py::kw_only(),
           "false_positive_rate"_a = DetectorOptions{}.false_positive_rate,
           "calibrations"_a = py::tuple())
      .def("detect", &detect, "token_ids"_a, "start"_a = py::none(), py::kw_only(),
           "proxy"_a = py::none(), "prompt"_a = py::none())
      .def("detect_variants", &detect_variants, "variants"_a, "start"_a = py::none())
      .def("detect_many", &detect_many, "texts"_a, "threads"_a = 0, "start"_a = py::none())
      .def(
          "detect_text",
          [](const py::object& self, const py::object& string, const py::object& tokenizer,
             const py::object& start) {
            return py::module_::import("countermark.reading")
                .attr("detect_text")(self, string, tokenizer, start);
          },
          "text"_a, "tokenizer"_a, "start"_a = py::none())
      .def(
          "replay",
          [](const PyDetector& self, const py::object& prompt_ids, const py::object& token_ids,
             const py::object& model, double temperature, std::int64_t top_k, double top_p,
             double min_p, std::optional<std::uint64_t> account, double epsilon) {
            PyReplay replay{Replay(self.ring, self.ids,
                                   {.sampling = options(temperature, top_k, top_p, min_p),
                                    .account = account,
                                    .epsilon = epsilon,
                                    .false_positive_rate = self.options.false_positive_rate})};
            const py::object running = py::cast(std::move(replay));
            return py::module_::import("countermark.models")
                .attr("replay_with")(running, prompt_ids, token_ids, model);
          },
          "prompt_ids"_a, "token_ids"_a, "model"_a, py::kw_only(),
          "temperature"_a = SamplingOptions{}.temperature, "top_k"_a = SamplingOptions{}.top_k,
          "top_p"_a = SamplingOptions{}.top_p, "min_p"_a = SamplingOptions{}.min_p,
          "account"_a = py::none(), "epsilon"_a = ReplayOptions{}.epsilon)
      .def(
          "rank",
          [](const PyDetector& self, py::handle token_ids,
             const std::optional<std::string>& profile, std::size_t decoys,
             const std::optional<std::string>& start) {
            const TokenIds ids(token_ids, "token_ids");
            const Start from = start_of(start);
            const std::string id = profile ? *profile : self.profiles().front().id();
            const py::gil_scoped_release release;
            return self.rank(ids.ids(), id, decoys, from);
          },
          "token_ids"_a, "profile"_a = py::none(), "decoys"_a = 99, "start"_a = py::none())
      .def(
          "score_account",
          [](const PyDetector& self, py::handle token_ids, const std::string& profile,
             std::optional<std::uint64_t> account, const std::optional<std::string>& start) {
            const TokenIds ids(token_ids, "token_ids");
            const Start from = start_of(start);
            const py::gil_scoped_release release;
            return self.score_account(ids.ids(), profile, account, from);
          },
          "token_ids"_a, "profile"_a, "account"_a, "start"_a = py::none())
      .def_property_readonly("profiles", [](const PyDetector& self) { return self.profiles(); })
      .def("__repr__", [](const PyDetector& self) {
        return text("<Detector of ", self.ids.size(), " profiles>");
      });

  py::class_<ContractFit>(m, "ContractFit")
      .def_readonly("mark", &ContractFit::mark)
      .def_property_readonly("parameters",
                             [](const ContractFit& f) { return from_json(f.parameters_json); })
      .def_readonly("key_words", &ContractFit::key_words)
      .def_readonly("scored", &ContractFit::scored)
      .def_readonly("score", &ContractFit::score)
      .def_readonly("log10_p", &ContractFit::log10_p)
      .def_readonly("log10_p_adjusted", &ContractFit::log10_p_adjusted)
      .def_readonly("fits", &ContractFit::fits)
      .def("__repr__", [](const ContractFit& f) {
        return text("<ContractFit ", f.mark, " log10_p_adjusted=", f.log10_p_adjusted, ">");
      });
  const IdentifyOptions identify_defaults;
  m.def("identify", &identify_texts, "texts"_a, "key"_a, "prompts"_a = py::none(), py::kw_only(),
        "vocab_size"_a = py::none(),
        "false_positive_rate"_a = identify_defaults.false_positive_rate,
        "threads"_a = identify_defaults.threads);

  py::class_<PyReplay>(m, "Replay")
      .def(py::init([](const KeyRing& ring, const std::vector<std::string>& profiles,
                       double temperature, std::int64_t top_k, double top_p, double min_p,
                       std::optional<std::uint64_t> account, double epsilon,
                       double false_positive_rate) {
             return std::make_unique<PyReplay>(
                 PyReplay{Replay(ring, profiles,
                                 {.sampling = options(temperature, top_k, top_p, min_p),
                                  .account = account,
                                  .epsilon = epsilon,
                                  .false_positive_rate = false_positive_rate})});
           }),
           "ring"_a, "profiles"_a, py::kw_only(), "temperature"_a = SamplingOptions{}.temperature,
           "top_k"_a = SamplingOptions{}.top_k, "top_p"_a = SamplingOptions{}.top_p,
           "min_p"_a = SamplingOptions{}.min_p, "account"_a = py::none(),
           "epsilon"_a = ReplayOptions{}.epsilon,
           "false_positive_rate"_a = ReplayOptions{}.false_positive_rate)
      .def("observe", &observe_rows, "logits"_a, "token_ids"_a)
      .def("detection", [](const PyReplay& self) { return self.replay.detection(); })
      .def("__repr__", [](const PyReplay&) { return "<Replay>"; });
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      const py::object type = error_type();
      // A file's name in the message may be no UTF-8.
      const auto message = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
          error.what(), static_cast<py::ssize_t>(std::strlen(error.what())), "replace"));
      const py::object value = type(message, std::string(error_name(error.code())));
      PyErr_SetObject(type.ptr(), value.ptr());
    }
  });
  bind_profiles(m);
  bind_ledger(m);
  bind_sampling(m);
  bind_detection(m);
  bind_tracing(m);
  bind_distillation(m);
  // For plots.
  m.def(
      "_log10_gamma_tail",
      [](double n, const py::array_t<double>& sums) {
        return py::vectorize([n](double sum) { return stats::log10_gamma_tail(n, sum); })(sums);
      },
      "n"_a, "sums"_a);
  m.attr("__version__") = std::string(version());
}

}  // namespace countermark::python
